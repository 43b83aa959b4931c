"""The interpreter that waits in a warm sandbox, forked before there is a program. Part of the supervisor's
source.


1. It holds nothing of the supervisor's: every descriptor but the ones of its own is closed at the fork.
2. It is told once what to run, over a socket that it closes before the program's first instruction.
3. A Python or SQL program runs in it; anything else replaces it. Its randomness is the container's own, and
   the container's only use.
4. It ends as an interpreter ends: threads joined, handlers called, what the program held let go and flushed.
"""

from __future__ import annotations

import array
import fcntl
import gc
import json
import marshal
import os
import resource
import select
import signal
import socket
import struct
import sys
import types

from sandbox_languages import PREFLIGHTS
from supervisor_parts import RESULT_DESCRIPTOR, ROOT, WORK, Child, Dumpability, find_interpreter
from supervisor_wire import FRAME_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Takes longer to load than most programs run.
    from typing import Any, NoReturn

# What programs import most. It takes as long to load as everything else here together, so one that is given
# its program as soon as it can be does without.
PRELOADED = (
    "atexit", "collections", "contextlib", "copy", "datetime", "functools", "io", "itertools", "json", "math",
    "operator", "random", "re", "sqlite3", "string", "threading", "time", "traceback", "types", "typing",
)  # fmt: skip
IDLE_MILLISECONDS = 200
ORDER_BYTES = struct.Struct(">I")
FLUSH_FAILED = 120


class WarmChild(Child):
    """The child that waits, with its socket and the pipe that its result comes by."""

    def __init__(
        self, out_of_memory_score: int, dumpability: Dumpability, drivers: dict[str, str | bytes]
    ) -> None:
        super().__init__(out_of_memory_score)
        self._dumpability = dumpability
        self._sources = drivers
        self._drivers: dict[str, types.ModuleType] = {}
        self.result, result_writer = os.pipe()
        self._channel, theirs = socket.socketpair()
        os.makedirs(WORK, 0o755, exist_ok=True)
        gc.collect()
        gc.freeze()
        self.prefer_as_victim(1000)
        self.process = os.fork()
        if self.process == 0:
            self._live(theirs.detach(), result_writer)
        self.prefer_as_victim(0)
        theirs.close()
        os.close(result_writer)
        os.set_blocking(self.result, False)

    def order(self, job: dict[str, Any], outputs: list[int]) -> None:
        """Lets the program go, with its standard output and error."""
        order = json.dumps(job).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", outputs))]
        message = ORDER_BYTES.pack(len(order)) + order
        rest = message[self._channel.sendmsg([message], rights) :]
        if rest:
            # Sending nothing would fail: whoever has all of it closes its end at once.
            self._channel.sendall(rest)
        self._channel.close()

    def _live(self, channel: int, result_writer: int) -> NoReturn:
        """In the child: everything up to the program, then the program."""
        try:
            os.setsid()
            self._channel.detach()
            # Above every descriptor that is about to be replaced.
            channel = fcntl.fcntl(channel, fcntl.F_DUPFD, 100)
            result_writer = fcntl.fcntl(result_writer, fcntl.F_DUPFD, 101)
            os.dup2(0, RESULT_DESCRIPTOR)
            os.closerange(RESULT_DESCRIPTOR + 1, channel)
            os.closerange(result_writer + 1, 1024)
            os.umask(0o022)
            os.chdir(WORK)
            self._warm_up(channel)
            os.dup2(result_writer, RESULT_DESCRIPTOR)
            os.close(result_writer)
            order = self._receive(channel)
            if order["driver_path"] not in self._sources:
                execute(order)
            driver = self._driver(order["driver_path"])
            self._loaded = frozenset(sys.modules)
        except BaseException as error:
            os.write(2, f"the interpreter could not be started: {error}\n".encode())
            os._exit(127)
        self._run(driver, order)

    def _warm_up(self, channel: int) -> None:
        """Loads the first driver, and the rest when nobody has come meanwhile; goes through what it has."""
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        first, *others = self._sources
        preflight(self._driver(first), first)
        gc.freeze()
        if poll.poll(IDLE_MILLISECONDS):
            return
        for name in PRELOADED:
            __import__(name)
            if poll.poll(0):
                return
        for path in others:
            preflight(self._driver(path), path)
        gc.freeze()

    def _driver(self, path: str) -> types.ModuleType:
        if path not in self._drivers:
            self._drivers[path] = load_driver(path, self._sources[path])
        return self._drivers[path]

    def _receive(self, channel: int) -> dict[str, Any]:
        connection = socket.socket(fileno=channel)
        received, outputs, _, _ = socket.recv_fds(connection, FRAME_BYTES, 2)
        if len(received) < ORDER_BYTES.size:
            os._exit(0)
        size = ORDER_BYTES.size + ORDER_BYTES.unpack_from(received)[0]
        while len(received) < size:
            received += connection.recv(size - len(received))
        connection.close()
        order: dict[str, Any] = json.loads(received[ORDER_BYTES.size :])
        for number, value in order["resource_limits"]:
            resource.setrlimit(number, (value, value))
        for target, output in zip((1, 2), outputs):  # noqa: B905 - 3.9 may run this
            os.dup2(output, target)
            os.close(output)
        # The program is its own: it may look at itself, as any process may.
        self._dumpability.set(True)
        return order

    def _run(self, driver: types.ModuleType, order: dict[str, Any]) -> NoReturn:
        adopt_environment(order["environment"])
        arguments: list[str] = order["arguments"]
        sys.argv = arguments[arguments.index(order["driver_path"]) :]
        sys.orig_argv = [sys.executable, *arguments]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = driver.main()
        except SystemExit as ended:
            code = ended.code
        if sys.modules.keys() - self._loaded:
            # Modules of the program's choice may have things to do at the end, in the interpreter's order.
            sys.exit(code)
        finish(code)


def preflight(driver: types.ModuleType, path: str) -> None:
    """Runs something small, so that the first program finds everything in place. Leaves nothing behind."""
    program, given, search_path = ROOT + "/.preflight", ROOT + "/.preflight.json", list(sys.path)
    for name, content in ((program, PREFLIGHTS[path]), (given, "null")):
        with open(name, "w", encoding="utf-8") as file:
            file.write(content)
    adopt_environment({**os.environ, "INPUT_DATA": given, "RESULT_BYTES": "1000"})
    sys.argv = [path, program]
    driver.main()
    sys.modules["__main__"].__dict__.clear()
    gc.collect()
    sys.path[:] = search_path
    os.unlink(program)
    os.unlink(given)


def adopt_environment(environment: dict[str, str]) -> None:
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    os.environ.update(environment)


def load_driver(path: str, source: str | bytes) -> types.ModuleType:
    driver = types.ModuleType(path.rsplit("/", 1)[-1].removesuffix(".py").lstrip("."))
    driver.__file__ = path
    code = (
        marshal.loads(source)  # noqa: S302 - this interpreter's own
        if isinstance(source, bytes)
        else compile(source, path, "exec", dont_inherit=True)
    )
    exec(code, driver.__dict__)  # noqa: S102 - its purpose
    return driver


def execute(order: dict[str, Any]) -> NoReturn:
    path = find_interpreter(order["interpreter"])
    if path is None:
        raise FileNotFoundError(f"{order['interpreter']} is not installed in this sandbox")
    # Not closed at the exec, unlike what Python opened.
    os.set_inheritable(RESULT_DESCRIPTOR, True)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execve(path, [path, *order["arguments"]], order["environment"])  # noqa: S606


def finish(code: object) -> NoReturn:
    """What the interpreter does at its end, without taking itself apart, which takes longer than most
    programs.
    """
    status = 0 if code is None else code & 0xFF if isinstance(code, int) else 1
    try:
        if code is not None and not isinstance(code, int):
            sys.stderr.write(f"{code}\n")
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        if "atexit" in sys.modules:
            sys.modules["atexit"]._run_exitfuncs()
        sys.modules["__main__"].__dict__.clear()
        gc.collect()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            status = status or FLUSH_FAILED
    os._exit(status)
