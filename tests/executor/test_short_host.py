"""A host that is out of processes, or of room on the executor's disk, for real: no token is lost, and it goes
on without a restart.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path

import pytest

from executor_mcp.sandbox.control_groups import ControlGroup, ControlGroups
from executor_mcp.sandbox.owner import Owner
from tests.sandbox.conftest import docker_image

__all__ = ["docker_image"]
pytestmark = pytest.mark.timeout(120)


async def holds(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-4000:]


def executor(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.executor.short_host", *arguments]


def control_group() -> ControlGroup:
    groups = ControlGroups.find(Owner.current())
    assert groups is not None
    return groups.create(secrets.token_hex(8))


@pytest.mark.parametrize("backend", ["docker", "bubblewrap", "bubblewrap-without-groups"])
async def test_out_of_processes_is_said_and_costs_no_token_and_no_program_that_runs(
    docker_image: str, tmp_path: Path, backend: str
) -> None:
    group = await asyncio.to_thread(control_group)
    try:
        await holds(*executor("processes", str(tmp_path), backend, *map(str, group.directories)))
    finally:
        assert await asyncio.to_thread(group.remove)


async def test_a_disk_that_is_full_costs_no_token_and_no_end_of_a_program(tmp_path: Path) -> None:
    namespaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--user", "--map-root-user"]
    await holds("unshare", *namespaces, *executor("disk", str(tmp_path), "none"))
    assert os.listdir(tmp_path) == []
