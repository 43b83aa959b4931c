"""Serving over real sockets."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
from fastapi import FastAPI, Request

from server_kit.errors import ConfigurationError, PortInUse, ServerError
from server_kit.http_connections import BoundedConnection
from server_kit.http_serving import Address, bind, serve


async def test_ready_is_called_with_the_real_port_and_stop_ends_it() -> None:
    application = FastAPI()

    @application.get("/")
    async def root() -> str:
        return "hello"

    address: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(
        serve(application, Address("127.0.0.1", 0), ready=address.set_result, stop=stop)
    )
    where = await asyncio.wait_for(address, 10)
    async with httpx2.AsyncClient() as client:
        assert (await client.get(where.url)).json() == "hello"
    stop.set()
    await asyncio.wait_for(serving, 10)


def test_a_port_in_use_is_one_clear_line() -> None:
    with bind(Address("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1 is in use") as caught:
            bind(Address("127.0.0.1", port))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_a_host_that_is_not_ours_is_a_configuration_error(host: str) -> None:
    with pytest.raises(ConfigurationError, match=host):
        bind(Address(host, 0))


async def test_an_application_that_fails_to_start_is_an_error() -> None:
    @asynccontextmanager
    async def lifespan(_application: FastAPI):
        raise RuntimeError("cannot")
        yield

    with pytest.raises(ServerError):
        await serve(FastAPI(lifespan=lifespan), Address("127.0.0.1", 0))


PROGRAM = """
import asyncio
from fastapi import FastAPI, Request
from server_kit.http_serving import Address, run, serve
application = FastAPI()
entered = asyncio.Event()
@application.get("/slow")
async def slow() -> str:
    print("entered", flush=True)
    await asyncio.sleep(0.5)
    return "finished"
run(serve(application, Address("127.0.0.1", 0), ready=lambda address: print(address.url, flush=True)))
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_request_in_progress_end_and_the_process_exit_with_0(
    number: signal.Signals,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
    async with httpx2.AsyncClient() as client:
        asking = asyncio.create_task(client.get(f"{url}/slow"))
        assert await asyncio.wait_for(process.stdout.readline(), 10) == b"entered\n"
        process.send_signal(number)
        assert (await asyncio.wait_for(asking, 10)).json() == "finished"
    assert (await asyncio.wait_for(process.stdout.read(), 20)).strip() == b"ended"
    assert await process.wait() == 0


@asynccontextmanager
async def _served(application: FastAPI):
    address: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(
        serve(application, Address("127.0.0.1", 0), ready=address.set_result, stop=stop)
    )
    try:
        yield await asyncio.wait_for(address, 10)
    finally:
        stop.set()
        await asyncio.wait_for(serving, 10)


def _echo() -> FastAPI:
    application = FastAPI()

    @application.post("/")
    async def length(request: Request) -> int:
        return len(await request.body())

    return application


async def _endless(address: Address, start: bytes, piece: bytes) -> tuple[bytes, int]:
    """Send `piece` after `start` until the server has had enough; its answer, and how much was sent."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    sent = 0
    try:
        writer.write(start)
        while sent < 50_000_000 and not reader.at_eof():
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        return await reader.read(), sent
    except ConnectionError:
        return b"", sent
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"POST / HTTP/1.1\r\nHost: here\r\nX-Long: ", b"a" * 10_000),
        (b"POST / HTTP/1.1\r\nHost: here\r\n", b"X-Many: a\r\n" * 1000),
        (b"POST /", b"a" * 10_000),
        (
            b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Trailer: ",
            b"a" * 10_000,
        ),
    ],
    ids=["one long header", "many headers", "a long address", "a long trailer"],
)
async def test_a_head_without_end_is_cut_off(start: bytes, piece: bytes) -> None:
    async with _served(_echo()) as address:
        _, sent = await asyncio.wait_for(_endless(address, start, piece), 30)
    assert sent < 20_000_000


async def test_a_large_body_is_no_large_head() -> None:
    async with _served(_echo()) as address, httpx2.AsyncClient() as client:
        answer = await client.post(address.url, content=b"b" * 5_000_000)
        assert answer.json() == 5_000_000

        async def chunks():
            for _ in range(50):
                yield b"c" * 100_000

        assert (await client.post(address.url, content=chunks())).json() == 5_000_000


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: h",
        b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nab",
    ],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_client_that_stops_sending_is_cut_off(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "head_seconds", 0.2)
    monkeypatch.setattr(BoundedConnection, "body_seconds", 0.2)
    async with _served(_echo()) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(beginning)
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_an_answer_may_take_longer_than_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "head_seconds", 0.2)
    monkeypatch.setattr(BoundedConnection, "body_seconds", 0.2)
    application, gone_on = FastAPI(), asyncio.Event()

    @application.get("/")
    async def slow() -> str:
        await gone_on.wait()
        return "at last"

    async with _served(application) as address, httpx2.AsyncClient() as client:
        asyncio.get_running_loop().call_later(0.6, gone_on.set)
        assert (await client.get(address.url, timeout=10)).json() == "at last"
