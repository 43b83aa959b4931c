"""The Docker engine, as asyncio can use it: the SDK's calls in threads, its attach socket handed to the
event loop.

The only module that imports the SDK. Everything the engine refuses or fails at becomes a `SandboxError`.
"""

from __future__ import annotations

import asyncio
import io
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import docker as sdk
import docker.errors
import docker.utils
import requests

from executor_mcp.sandbox.errors import ImageBuildFailed, SandboxFailed, SandboxUnavailable
from executor_mcp.sandbox.host_limits import ADVICE, is_out_of_processes
from executor_mcp.sandbox.strays import Strays

_CALL_SECONDS = 30.0
_OVER_SECONDS = 2.0
_BUILD_SECONDS = 1200.0
_THREADS = 16
_DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
_START_HINT = "start it (systemctl start docker, or scripts/start_docker.sh), or set DOCKER_HOST"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class EngineFacts:
    version: str
    runtimes: frozenset[str]
    default_runtime: str


@dataclass(frozen=True)
class ContainerFacts:
    """What the engine says of one container; `owner` is the label that it was created with."""

    container_id: str
    owner: str
    running: bool
    created: str


@dataclass(frozen=True)
class FinalState:
    """How a container ended, as the engine knows it so far: not at all while it is `running`."""

    running: bool
    exit_code: int
    out_of_memory: bool


class AttachedStream:
    """Standard input, output and error of a container as one asyncio stream."""

    def __init__(self, wrapper: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The SDK's object owns the connection: collected, it would close the socket under the stream.
        self._wrapper = wrapper
        self.reader = reader
        self.writer = writer

    def close(self) -> None:
        self.writer.transport.abort()
        # The response and not the wrapper: it closes its layers in the order that they need.
        self._wrapper._response.close()


class DockerEngine:
    """Connects at the first call, so that a wrong address is an error of a call and not of the start.

    An answer that takes longer than `call_seconds` is none. The next call tries again.
    """

    def __init__(self, call_seconds: float = _CALL_SECONDS) -> None:
        self._call_seconds = call_seconds
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="docker")
        self._client: Any = None
        self._connecting = threading.Lock()
        self._strays = Strays(self._remove)

    async def facts(self) -> EngineFacts:
        info: dict[str, Any] = await self._call(lambda client: client.info())
        return EngineFacts(
            str(info.get("ServerVersion", "?")),
            frozenset(info.get("Runtimes") or ()),
            str(info.get("DefaultRuntime") or "runc"),
        )

    async def image_id(self, name: str) -> str | None:
        """`sha256:…` of an image that the engine has."""

        def find(client: Any) -> str | None:
            try:
                return str(client.inspect_image(name)["Id"])
            except docker.errors.ImageNotFound:
                return None

        return await self._call(find)

    async def create(
        self,
        image: str,
        command: list[str],
        *,
        host: Mapping[str, Any],
        container: Mapping[str, Any],
        unmasked: bool = False,
    ) -> str:
        """`unmasked` leaves /proc as the kernel makes it: else no process in it can mount one of its own.

        Where this raises, what the engine makes of it all the same is removed.
        """
        name = f"hitl-{secrets.token_hex(8)}"

        def create(client: Any) -> str:
            config = client.create_host_config(**host)
            if unmasked:
                config |= {"MaskedPaths": [], "ReadonlyPaths": []}
            answer = client.create_container(
                image, entrypoint=command, host_config=config, name=name, **container
            )
            return str(answer["Id"])

        try:
            return await self._call(create)
        except SandboxFailed:
            raise
        except BaseException:
            self._strays.not_answered(name)
            raise

    async def attach(self, container_id: str, limit: int) -> AttachedStream:
        """To be called before the start: output that came earlier would be lost in the SDK's own buffer."""
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        wrapper: Any = await self._call(lambda client: client.attach_socket(container_id, params=params))
        connection: object = getattr(wrapper, "_sock", wrapper)
        if type(connection) is not socket.socket:
            raise SandboxUnavailable(
                "the engine is reached over TLS or ssh; only local sockets and plain TCP work"
            )
        connection.setblocking(False)
        connect = (
            asyncio.open_unix_connection if connection.family == socket.AF_UNIX else asyncio.open_connection
        )
        reader, writer = await connect(sock=connection, limit=limit)
        return AttachedStream(wrapper, reader, writer)

    async def start(self, container_id: str) -> None:
        await self._call(lambda client: client.start(container_id))

    async def kill(self, container_id: str) -> bool:
        """Returns when nothing in it is alive; False when it had ended or was gone already."""

        def kill(client: Any) -> bool:
            try:
                client.kill(container_id)
            except docker.errors.NotFound:
                return False
            except docker.errors.APIError as error:
                if error.status_code != requests.codes.conflict:
                    raise
                return False
            return True

        return await self._call(kill)

    async def final_state(self, container_id: str) -> FinalState:
        state: dict[str, Any] = await self._call(
            lambda client: client.inspect_container(container_id)["State"]
        )
        return FinalState(
            running=bool(state.get("Running")),
            exit_code=int(state["ExitCode"]),
            out_of_memory=bool(state.get("OOMKilled")),
        )

    async def first_process(self, container_id: str) -> int:
        """The number on the engine's host of a running container's first process, else 0."""
        state: dict[str, Any] = await self._call(
            lambda client: client.inspect_container(container_id)["State"]
        )
        return int(state.get("Pid") or 0)

    async def remove(self, container_id: str) -> None:
        """Where this raises or is cancelled, it is tried again later."""
        try:
            await self._remove(container_id)
        except BaseException:
            self._strays.not_removed(container_id)
            raise

    async def _remove(self, reference: str) -> bool:
        """False when there was no such container."""

        def remove(client: Any) -> bool:
            try:
                client.remove_container(reference, force=True, v=True)
            except docker.errors.NotFound:
                return False
            except docker.errors.APIError as error:
                # Somebody else is removing it already.
                if error.status_code != requests.codes.conflict:
                    raise
            return True

        return await self._call(remove)

    async def labelled(self, label: str, value: str, owner_label: str) -> list[ContainerFacts]:
        found: list[dict[str, Any]] = await self._call(
            lambda client: client.containers(all=True, filters={"label": f"{label}={value}"})
        )
        return [
            ContainerFacts(
                container_id=str(item["Id"]),
                owner=str(item["Labels"].get(owner_label, "")),
                running=item.get("State") == "running",
                created=str(item["Created"]),
            )
            for item in found
        ]

    async def import_root(self, archive: Path, repository: str, tag: str) -> None:
        """Makes an image of one layer from a tar archive of a root file system."""

        def load(client: Any) -> None:
            answer = str(client.import_image_from_file(str(archive), repository=repository, tag=tag))
            if '"error"' in answer:
                raise ImageBuildFailed(f"the engine could not import the root file system: {answer[-300:]}")

        await self._call(load, timeout=_BUILD_SECONDS)

    async def build(
        self,
        context: bytes,
        *,
        tag: str,
        arguments: Mapping[str, str],
        network: str,
        report: Callable[[str], None],
    ) -> None:
        """Builds from a tar archive that has a Dockerfile. Raises ImageBuildFailed with the last lines."""
        loop = asyncio.get_running_loop()

        def build(client: Any) -> None:
            lines: list[str] = []
            steps = client.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                network_mode=network,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for step in steps:
                text = str(step.get("stream") or step.get("error") or "").strip()
                if text:
                    lines.append(text)
                    loop.call_soon_threadsafe(report, text)
                if "error" in step:
                    raise ImageBuildFailed(f"the image could not be built: {' | '.join(lines[-4:])}")

        await self._call(build, timeout=_BUILD_SECONDS)

    async def close(self) -> None:
        await self._strays.close()
        if self._client is not None:
            await asyncio.to_thread(self._client.close)
        self._threads.shutdown(wait=False)

    async def _call(self, operation: Callable[[Any], Answer], timeout: float | None = None) -> Answer:
        """Runs in a thread. A caller that is cancelled waits no longer, and the engine finishes what it was
        at.
        """
        loop = asyncio.get_running_loop()
        seconds = self._call_seconds if timeout is None else timeout
        try:
            # Over the SDK's own bound, which is on each read: all threads may be waiting for answers.
            async with asyncio.timeout(seconds + _OVER_SECONDS):
                return await loop.run_in_executor(self._threads, lambda: operation(self._connected(timeout)))
        except TimeoutError as error:
            raise SandboxUnavailable(
                f"the Docker engine did not answer within {seconds:g} s; it is overloaded or hangs"
            ) from error
        except RuntimeError as error:
            if not is_out_of_processes(error):
                raise
            raise SandboxUnavailable(ADVICE) from error
        except docker.errors.APIError as error:
            raise SandboxFailed(f"the Docker engine refused: {_explanation(error)}") from error
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            raise SandboxUnavailable(f"no Docker engine answers ({_reason(error)}); {_START_HINT}") from error

    def _connected(self, timeout: float | None) -> Any:
        if timeout is not None:
            return _connect(timeout)
        # Two threads that call first would each make one, and one of the two would never be closed.
        with self._connecting:
            if self._client is None:
                self._client = _connect(self._call_seconds)
            return self._client


def _connect(timeout: float) -> Any:
    options = cast("dict[str, Any]", docker.utils.kwargs_from_env())  # pyright: ignore[reportUnknownMemberType]
    _try_socket(str(options.get("base_url") or _DEFAULT_ADDRESS), timeout)
    # The SDK's types say whole seconds; what it hands on to takes any.
    return sdk.APIClient(timeout=cast("int", timeout), version="auto", max_pool_size=_THREADS, **options)


def _try_socket(address: str, timeout: float) -> None:
    """Raises OSError when nothing listens: the SDK would find that out too, and leave its socket open."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(address.removeprefix("unix://"))


def _explanation(error: docker.errors.APIError) -> str:
    return " ".join(str(error.explanation or error).split())[:300]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
