"""One outer container, seen from the host: what is asked of its supervisor and what that answers."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from executor_mcp.sandbox.amounts import Amounts
from executor_mcp.sandbox.burst.execution import BurstExecution
from executor_mcp.sandbox.burst.life import Life, may_become
from executor_mcp.sandbox.control_groups import ControlGroup
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.errors import SandboxUnavailable
from executor_mcp.sandbox.process_handle import ProcessHandle

USERS = 64
"""Users of the host that one outer container has: its own, and one for each live execution."""

_ANSWER_SECONDS = 10.0
_DEATH_SECONDS = 5.0
_EMPTY_SECONDS = 5.0
_MESSAGE_BYTES = 1024
_READY, _BORN, _DIED, _FAILED, _SPAWN = b"R", b"B", b"D", b"F", b"S"
_ORDER = struct.Struct(">IHQI")
_NUMBER = struct.Struct(">I")
_END = struct.Struct(">Ii")


class OuterContainer:
    """Spawns executions, and condemns itself at the first oddity.

    1. What its supervisor sends is not trusted: a message that is no answer to anything condemns it.
    2. An execution is over when the supervisor has reaped it and its control group is empty; when either does
       not come in time, the container is condemned.
    3. A user is given to another execution only after the one that had it is over.
    """

    def __init__(
        self,
        engine: DockerEngine,
        container_id: str,
        *,
        connection: socket.socket,
        process: ProcessHandle,
        image: str,
    ) -> None:
        self._engine = engine
        self.container_id = container_id
        self.image = image
        self.made_at = self.used_at = time.monotonic()
        self.executions = 0
        self.problem: str | None = None
        self._life = Life.OPEN
        self._connection = connection
        self._process = process
        self._users = deque(range(1, USERS))
        self._births: dict[int, asyncio.Future[ProcessHandle]] = {}
        self._deaths: dict[int, asyncio.Future[None]] = {}
        self._live: set[int] = set()
        self._burials: set[asyncio.Task[None]] = set()
        self._on_change: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._closed = False
        connection.setblocking(False)
        self._loop.add_reader(connection, self._readable)

    @property
    def life(self) -> Life:
        return self._life

    @property
    def live(self) -> int:
        """Executions that are not over."""
        return len(self._live)

    @property
    def running(self) -> int:
        """Executions that have not ended."""
        return len(self._live) - len(self._burials)

    @property
    def has_user(self) -> bool:
        """Whether there is a user for one more execution."""
        return bool(self._users)

    async def one_is_over(self) -> bool:
        """Waits until one of those that have ended is over; False when none has ended."""
        if not self._burials:
            return False
        await asyncio.wait(self._burials, return_when=asyncio.FIRST_COMPLETED)
        return True

    def watch(self, changed: Callable[[], None]) -> None:
        """`changed` is called when it is condemned, or an execution is over."""
        self._on_change = changed

    async def until_ready(self) -> None:
        """Raises SandboxUnavailable."""
        await self._ready

    async def spawn(self, amounts: Amounts, group: ControlGroup) -> BurstExecution:
        """An execution's namespaces; its supervisor says READY over the channel when they are set up.

        The group is the caller's until this returns. Raises SandboxUnavailable.
        """
        if self._life is not Life.OPEN or not self._users:
            raise SandboxUnavailable("the outer container takes no further execution")
        self.executions += 1
        number, user = self.executions, self._users.popleft()
        birth: asyncio.Future[ProcessHandle] = self._loop.create_future()
        death: asyncio.Future[None] = self._loop.create_future()
        death.add_done_callback(lambda _: self._users.append(user))  # 3
        self._births[number], self._deaths[number] = birth, death
        self._live.add(number)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._order(number, user, amounts, theirs, group)
            async with asyncio.timeout(_ANSWER_SECONDS):
                process = await birth
        except BaseException as error:
            # Without its host's end it ends by itself, before it has been handed anything.
            ours.close()
            self._births.pop(number, None)
            self._live.discard(number)
            if isinstance(error, (OSError, TimeoutError)):
                self.condemn("its supervisor does not answer")
                raise SandboxUnavailable("the burst container does not answer") from error
            raise
        execution = BurstExecution(
            self._engine,
            self.container_id,
            connection=ours,
            process=process,
            group=group,
            condemn=self.condemn,
        )
        execution.watch(
            ended=lambda: None,
            released=lambda: self._bury_later(number, death, execution),
        )
        return execution

    def retire(self) -> None:
        """No further execution; those that run go on."""
        if may_become(self._life, Life.RETIRING):
            self._life = Life.RETIRING
            self._on_change()

    def condemn(self, problem: str) -> None:
        """Everything in it ends now."""
        if not may_become(self._life, Life.CONDEMNED):
            return
        self._life = Life.CONDEMNED
        self.problem = problem
        self._close()
        self._on_change()

    async def remove(self) -> None:
        """Ends everything in it and removes it. Raises SandboxError when the engine does not."""
        self._close()
        self._life = Life.GONE
        await asyncio.gather(*self._burials)
        await self._engine.remove(self.container_id)

    def _order(
        self, number: int, user: int, amounts: Amounts, theirs: socket.socket, group: ControlGroup
    ) -> None:
        with ExitStack() as opened:
            descriptors = [theirs.fileno()]
            for directory in group.directories:
                descriptor = os.open(directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                opened.callback(os.close, descriptor)
                descriptors.append(descriptor)
            order = _SPAWN + _ORDER.pack(number, user, amounts.disk_bytes, amounts.inodes)
            socket.send_fds(self._connection, [order], descriptors)

    def _bury_later(self, number: int, death: asyncio.Future[None], execution: BurstExecution) -> None:
        burial = asyncio.create_task(self._bury(number, death, execution))
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)

    async def _bury(self, number: int, death: asyncio.Future[None], execution: BurstExecution) -> None:
        oddity = execution.oddity
        execution.close()
        if oddity is not None:
            self.condemn(oddity)
        try:
            async with asyncio.timeout(_DEATH_SECONDS):
                await asyncio.shield(death)  # 2
        except TimeoutError:
            self.condemn("an execution's processes did not end")
        if not await asyncio.to_thread(execution.group.dissolve, _EMPTY_SECONDS):
            self.condemn("a control group did not become empty")
            await asyncio.to_thread(execution.group.remove)
        self._live.discard(number)
        self.used_at = time.monotonic()
        self._on_change()

    def _readable(self) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(self._connection, _MESSAGE_BYTES, 2)
        except BlockingIOError:
            return
        except OSError:
            message, descriptors = b"", []
        try:
            self._take(message, descriptors)
        except (struct.error, KeyError, OSError):
            self.condemn("its supervisor sent what no supervisor sends")  # 1
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _take(self, message: bytes, descriptors: list[int]) -> None:
        kind, content = message[:1], message[1:]
        if kind == _READY and not self._ready.done():
            self._ready.set_result(None)
        elif kind == _BORN:
            (number,) = _NUMBER.unpack(content)
            process = _handle(descriptors[0]) if descriptors else None
            birth = self._births.pop(number, None)
            if birth is not None and not birth.done() and process is not None:
                birth.set_result(process)
            elif process is not None:
                process.close()
        elif kind == _DIED:
            number, _ = _END.unpack(content)
            self._deaths.pop(number).set_result(None)
            birth = self._births.pop(number, None)
            if birth is not None and not birth.done():
                birth.set_exception(SandboxUnavailable("the burst container could not begin an execution"))
        else:
            text = content.decode("utf-8", "replace") if kind == _FAILED else "it ended"
            self.condemn(f"its supervisor failed: {text}"[:300])

    def _close(self) -> None:
        """Kills the supervisor, and with it everything; nobody waits for an answer any more."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._connection)
        self._connection.close()
        with suppress(PermissionError):
            self._process.kill()
        self._process.close()
        unavailable = SandboxUnavailable(f"the burst container is gone ({self.problem or 'removed'})")
        for waiting in (*self._births.values(), self._ready):
            if not waiting.done():
                waiting.set_exception(unavailable)
                # Nobody may be waiting.
                waiting.exception()
        for death in self._deaths.values():
            death.set_result(None)
        self._births.clear()
        self._deaths.clear()


def _handle(descriptor: int) -> ProcessHandle:
    """A handle of the process that a received descriptor names. Raises OSError when it has ended."""
    text = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    number = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pid:"))
    process = ProcessHandle(number) if number > 0 else None
    # Looked at after the opening: the number is still that process's own.
    if process is None or _has_ended(descriptor):
        if process is not None:
            process.close()
        raise ProcessLookupError("the execution ended as it began")
    return process


def _has_ended(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
