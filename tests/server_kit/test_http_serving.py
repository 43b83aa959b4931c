"""Serving over real sockets."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI

from server_kit.errors import ConfigurationError, PortInUse, ServerError
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
from fastapi import FastAPI
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
