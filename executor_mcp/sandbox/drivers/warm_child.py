"""The interpreter that waits in a warm sandbox, forked before there is a program. Part of the supervisor's
source.

1. It holds nothing of the supervisor's: every descriptor but the ones of its own is closed at the fork.
2. It takes the job from the host itself, lays it out, says that it lets go, and tells the supervisor what it
   was given. All three ways are closed before the program's first instruction.
3. A Python or SQL program runs in it; anything else replaces it. Its randomness is the container's own, and
   the container's only use.
4. It ends as an interpreter ends: threads joined, handlers called, what the program held let go and flushed.
5. Then it says farewell to the supervisor and closes the pipe of its result: taking its memory apart takes
   longer than most programs, and nobody has to wait for it.
"""

from __future__ import annotations

import fcntl
import gc
import marshal
import os
import resource
import select
import sys
import types

from sandbox_languages import ENVIRONMENT, PREFLIGHTS
from supervisor_parts import (
    INPUT,
    RESULT_DESCRIPTOR,
    ROOT,
    WORK,
    Child,
    Dumpability,
    find_interpreter,
    lay_out,
)
from supervisor_quick import dumps, loads, signal
from supervisor_wire import FAILED, FRAME_BYTES, Report, let_go, receive_job
from warm_handover import Account, Farewell

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
FIRST_KEPT = 100
FLUSH_FAILED = 120
FAREWELL_SECONDS = 0.01
TOLD = 123
"""The status of a child that has told the host itself why there is no program."""


class WarmChild(Child):
    """The child that waits, with the host's socket and a pipe to the supervisor."""

    def __init__(
        self,
        out_of_memory_score: int,
        dumpability: Dumpability,
        drivers: dict[str, str | bytes],
        control: int,
        start: int,
        writers: list[int],
    ) -> None:
        super().__init__(out_of_memory_score)
        self._dumpability = dumpability
        self._sources = drivers
        self._drivers: dict[str, types.ModuleType] = {}
        self.farewell = Farewell()
        self.result, result_writer = os.pipe()
        self._account, account_writer = os.pipe()
        os.makedirs(WORK, 0o755, exist_ok=True)
        gc.collect()
        gc.freeze()
        self.prefer_as_victim(1000)
        self.process = os.fork()
        if self.process == 0:
            self._live(control, account_writer, start, [*writers, result_writer])
        self.prefer_as_victim(0)
        for writer in (account_writer, start, *writers, result_writer):
            os.close(writer)
        os.set_blocking(self.result, False)

    def begin(self, control: int, report: Report) -> Account | None:
        """Waits until the program is let go; None when it never will be, and the host knows why."""
        del control
        parts: list[bytes] = []
        while part := os.read(self._account, FRAME_BYTES):
            parts.append(part)
        os.close(self._account)
        if not parts:
            self.kill_everything()
            if self.status is not None and os.WEXITSTATUS(self.status) != TOLD:
                report.send(FAILED, b"the interpreter ended before it had the program")
            return None
        return Account(loads(b"".join(parts)))

    def _live(self, control: int, account: int, start: int, writers: list[int]) -> NoReturn:
        """In the child: everything up to the program, then the program."""
        try:
            os.setsid()
            # Above every descriptor that is about to be replaced, and together.
            kept = [control, account, start, *writers]
            kept = [fcntl.fcntl(each, fcntl.F_DUPFD, FIRST_KEPT + place) for place, each in enumerate(kept)]
            control, account, start, *writers = kept
            os.dup2(0, RESULT_DESCRIPTOR)
            os.closerange(RESULT_DESCRIPTOR + 1, control)
            os.closerange(writers[-1] + 1, 1024)
            os.umask(0o022)
            os.chdir(WORK)
            self._warm_up(control)
            for target, writer in zip((1, 2, RESULT_DESCRIPTOR), writers):  # noqa: B905 - 3.9 may run this
                os.dup2(writer, target)
            os.closerange(writers[0], writers[-1] + 1)
            first = next(iter(self._sources))
            output = open_output(self._driver(first))
            self._loaded = frozenset(sys.modules)
            order = self._receive(control, account, start)
            os.closerange(control, start)
            for number, value in order["resource_limits"]:
                resource.setrlimit(number, (value, value))
            # The program is its own: it may look at itself, as any process may.
            self._dumpability.set(True)
            if order["driver_path"] not in self._sources:
                execute(order)
            driver = self._driver(order["driver_path"])
            if order["driver_path"] != first:
                output = ()
                self._loaded = frozenset(sys.modules)
        except BaseException as error:
            os.write(2, f"the interpreter could not be started: {error}\n".encode())
            os._exit(127)
        self._run(driver, order, output)

    def _warm_up(self, control: int) -> None:
        """Loads the first driver, and the rest when nobody has come meanwhile; goes through what it has."""
        poll = select.poll()
        poll.register(control, select.POLLIN)
        first, *others = self._sources
        preflight(self._driver(first), first)
        rehearse()
        self._dumpability.set(False)
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

    @staticmethod
    def _receive(control: int, account: int, start: int) -> dict[str, Any]:
        """The job, laid out. Ends this process where there is none."""
        report = Report(control)
        try:
            job = receive_job(control)
            given = lay_out(job)
            let_go(start)
        except Exception as error:
            report.send(FAILED, f"{type(error).__name__}: {error}".encode()[:2000])
            os._exit(TOLD)
        remaining = memoryview(dumps(Account.of(job, given)))
        while remaining:
            remaining = remaining[os.write(account, remaining) :]
        return job

    def _run(
        self, driver: types.ModuleType, order: dict[str, Any], output: tuple[object, ...] = ()
    ) -> NoReturn:
        self.farewell.adopt()
        adopt_environment(order["environment"], ENVIRONMENT)
        arguments: list[str] = order["arguments"]
        sys.argv = arguments[arguments.index(order["driver_path"]) :]
        sys.orig_argv = [sys.executable, *arguments]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = driver.main(*output)
        except SystemExit as ended:
            code = ended.code
        if sys.modules.keys() - self._loaded:
            # Modules of the program's choice may have things to do at the end, in the interpreter's order.
            sys.exit(code)
        finish(code, self.farewell)


def rehearse() -> None:
    """Goes the way of a job without a program, while nobody waits: the first time takes twice as long, most
    of it for memory that this process and its supervisor still share.
    """
    name = ".rehearsal"
    job = {"files": [[name, ""]], "driver": None, "certificates": None, "input_json": "null"}
    lay_out(loads(dumps(job)))
    os.unlink(WORK + "/" + name)
    os.unlink(INPUT)


def open_output(driver: types.ModuleType) -> tuple[object, ...]:
    """What the driver's `main` can be given, where it can."""
    opened = getattr(driver, "open_output", None)
    return () if opened is None else (opened(),)


def preflight(driver: types.ModuleType, path: str) -> None:
    """Runs something small, so that the first program finds everything in place. Leaves nothing behind but
    the usual environment.
    """
    program, given, search_path = ROOT + "/.preflight", ROOT + "/.preflight.json", list(sys.path)
    for name, content in ((program, PREFLIGHTS[path]), (given, "null")):
        with open(name, "w", encoding="utf-8") as file:
            file.write(content)
    environment = {**ENVIRONMENT, "INPUT_DATA": given, "RESULT_BYTES": "1000"}
    adopt_environment(environment, dict(os.environ))
    sys.argv = [path, program]
    driver.main()
    adopt_environment(ENVIRONMENT, environment)
    sys.modules["__main__"].__dict__.clear()
    gc.collect()
    sys.path[:] = search_path
    os.unlink(program)
    os.unlink(given)


def adopt_environment(environment: dict[str, str], before: dict[str, str]) -> None:
    """`before` is what there is."""
    if environment == before:
        return
    for name in before.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items() - before.items():
        os.environ[name] = value


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


def finish(code: object, farewell: Farewell) -> NoReturn:
    """What the interpreter does at its end, without taking itself apart."""
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
    farewell.say(status & 0xFF)
    os.close(RESULT_DESCRIPTOR)
    # Ending keeps a processor busy, which the supervisor may be waiting for. It kills this process first of
    # all, unless somebody else still has the pipe.
    signal.sigtimedwait((), FAREWELL_SECONDS)
    os._exit(status)
