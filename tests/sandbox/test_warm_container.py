"""What the executor believes of a warm container, by what its supervisor did before it was gone."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.frames import FrameKind, encode_frame
from executor_mcp.sandbox.pool.container import WarmContainer

REPORT = b"{}"


class Supervisor:
    """The other end of the socket, with the five descriptors that it was sent."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        data, rights, _, _ = connection.recvmsg(5, socket.CMSG_LEN(20))
        assert data == encode_frame(FrameKind.OUTPUTS)
        numbers = array.array("i", rights[0][2])
        self.out, self.err, *readers, self.start = numbers
        for reader in readers:
            os.close(reader)

    def take_job(self) -> bytes:
        header = self.connection.recv(5)
        return self.connection.recv(struct.unpack(">BI", header)[1])

    def end(self) -> None:
        self.connection.close()
        for descriptor in (self.out, self.err, self.start):
            os.close(descriptor)


class Pair:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.container = WarmContainer(
            DockerEngine(), "none", connection=ours, process=None, directory=Path(), holder=None
        )
        self.supervisor = Supervisor(theirs)

    def give_job(self) -> None:
        self.container.expect(1000)
        self.container.send(encode_frame(FrameKind.JOB, b"{}"))
        assert self.supervisor.take_job() == b"{}"


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair()
    yield pair
    pair.container.close()


async def test_one_that_is_gone_before_it_has_let_the_program_go_has_run_nothing(pair: Pair) -> None:
    pair.give_job()
    pair.supervisor.end()
    async with asyncio.timeout(5):
        assert not await pair.container.begun()


async def test_one_that_is_gone_right_after_may_have_run_it_and_it_is_not_run_again(pair: Pair) -> None:
    pair.give_job()
    os.write(pair.supervisor.start, b"x")
    pair.supervisor.end()
    async with asyncio.timeout(5):
        assert await pair.container.begun()


async def test_a_program_that_lasts_has_begun_before_it_ends(pair: Pair) -> None:
    pair.give_job()
    begun = asyncio.create_task(pair.container.begun())
    assert not (await asyncio.wait({begun}, timeout=0.05))[0]
    os.write(pair.supervisor.start, b"x")
    async with asyncio.timeout(5):
        assert await begun
    pair.supervisor.end()


async def test_output_is_read_while_a_program_lasts(pair: Pair) -> None:
    pair.give_job()
    os.write(pair.supervisor.start, b"x")
    os.write(pair.supervisor.out, b"early")
    async with asyncio.timeout(5):
        frame = await pair.container.read_frame()
    assert frame is not None
    assert (frame.kind, frame.payload) == (FrameKind.STDOUT, b"early")
    pair.supervisor.end()


async def test_all_output_comes_before_the_report_of_the_end(pair: Pair) -> None:
    pair.give_job()
    os.write(pair.supervisor.start, b"x")
    os.write(pair.supervisor.err, b"to the last")
    pair.supervisor.connection.send(encode_frame(FrameKind.EXITED, REPORT))
    async with asyncio.timeout(5):
        assert await pair.container.begun()
        frames = [await pair.container.read_frame() for _ in range(2)]
    assert [(frame.kind, frame.payload) for frame in frames if frame is not None] == [
        (FrameKind.STDERR, b"to the last"),
        (FrameKind.EXITED, REPORT),
    ]
    pair.supervisor.end()
