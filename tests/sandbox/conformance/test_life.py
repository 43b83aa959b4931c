"""From prepare to removal: what is refused, what is left behind, and what removes it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from executor_mcp.sandbox.base import Sandbox
from executor_mcp.sandbox.errors import SandboxFailed, SandboxRefused
from hitl_contract.action_code import NetworkMode, Profile
from tests.attacks.sandbox import host
from tests.sandbox.conftest import REPOSITORY, make_sandbox
from tests.sandbox.support import Recorder, begin, make_job, run, until

# They share one sandbox, which belongs to one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

KILLED_EXECUTOR = """
import asyncio, sys
from tests.sandbox.conftest import make_sandbox
from tests.sandbox.support import Recorder, begin, make_job
async def main():
    sandbox = make_sandbox(sys.argv[1], instance=sys.argv[2])
    await sandbox.prepare(make_job("bash", "true"))
    sink = Recorder()
    running = await begin(sandbox, make_job("bash", "echo up; sleep " + sys.argv[3], wall_seconds=600), sink)
    await sink.first.wait()
    print("running", flush=True)
    await running.wait()
asyncio.run(main())
"""


async def test_what_is_not_offered_is_refused_before_anything_starts(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxRefused, match="network mode 'allowlist' is not offered"):
        await sandbox.prepare(make_job("bash", "true", network_mode=NetworkMode.ALLOWLIST))
    with pytest.raises(SandboxRefused, match="packages cannot be installed"):
        await sandbox.prepare(make_job("python", "1", packages=("requests==2.0",)))
    with pytest.raises(SandboxRefused, match="asks for image"):
        await sandbox.prepare(make_job("bash", "true", runtime="sha256:" + "0" * 64))


async def test_an_action_pinned_to_the_image_runs_on_it(sandbox: Sandbox) -> None:
    digest = (await sandbox.describe()).image_digest
    assert (await run(sandbox, "python", "1", runtime=digest)).result_json == b"1"


@pytest.mark.parametrize("profile", list(Profile))
async def test_every_profile_runs_with_at_least_the_restricted_hardening(
    sandbox: Sandbox, profile: Profile
) -> None:
    code = "import os\ntry:\n    os.mkdir('/usr/x')\nexcept OSError as error:\n    print('refused')"
    assert (await run(sandbox, "python", code, profile=profile)).stdout == b"refused\n"


async def test_a_prepared_sandbox_runs_nothing_until_it_is_started_and_only_once(sandbox: Sandbox) -> None:
    job = make_job("bash", "echo ran")
    prepared = await sandbox.prepare(job)
    assert prepared.execution_id == job.execution_id
    sink = Recorder()
    outcome = await (await sandbox.start(prepared, sink)).wait()
    assert outcome.stdout == sink.out == b"ran\n"
    with pytest.raises(SandboxFailed, match="used or given back"):
        await sandbox.start(prepared, sink)


async def test_a_discarded_sandbox_is_gone_and_discarding_again_does_nothing(sandbox: Sandbox) -> None:
    prepared = await sandbox.prepare(make_job("bash", "true"))
    await sandbox.discard(prepared)
    await sandbox.discard(prepared)
    with pytest.raises(SandboxFailed):
        await sandbox.start(prepared, Recorder())


async def test_closing_ends_what_is_running(backend: str) -> None:
    sandbox = make_sandbox(backend)
    try:
        sink = Recorder()
        running = await begin(sandbox, make_job("bash", "echo up; sleep 600", wall_seconds=600), sink)
        await asyncio.wait_for(sink.first.wait(), 20)
    finally:
        await sandbox.close()
    assert (await running.wait()).termination == "cancelled"


async def test_a_sink_that_fails_ends_the_program(sandbox: Sandbox) -> None:
    class FullDisk(Recorder):
        def stdout(self, chunk: bytes) -> None:
            raise OSError("no space")

    running = await begin(sandbox, make_job("bash", "echo x; sleep 600", wall_seconds=600), FullDisk())
    outcome = await running.wait()
    assert outcome.termination == "sandbox_failed"
    assert outcome.detail == "the output could not be passed on (OSError)"


async def test_runs_at_the_same_time_keep_their_outputs_apart(sandbox: Sandbox) -> None:
    outcomes = await asyncio.gather(*(run(sandbox, "python", f"print({n})\n{n}") for n in range(6)))
    assert [outcome.result_json for outcome in outcomes] == [str(n).encode() for n in range(6)]
    assert [outcome.stdout for outcome in outcomes] == [f"{n}\n".encode() for n in range(6)]


async def test_what_a_killed_executor_left_is_ended_and_removed(backend: str) -> None:
    instance = f"killed-{os.getpid()}-{backend}"
    marker = f"5{os.getpid():09}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_EXECUTOR, backend, instance, marker),
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 40) == b"running\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    successor = make_sandbox(backend, instance=instance)
    try:
        await until(lambda: not _processes(marker), "the orphaned program ends")
        removed = await successor.remove_leftovers()
        # Control groups are of the host and not of an instance: another killed executor's may be among them.
        # A pool leaves what waited besides, and what held its networks.
        # In the burst tier both were in one container.
        least = {"bubblewrap": 0, "bubblewrap-without-groups": 0, "burst": 1}.get(backend, 2)
        assert removed == least if backend in ("docker", "gvisor") else removed >= least
        assert host.control_groups_of(f"_{process.pid}_") == []
        assert await successor.remove_leftovers() == 0
    finally:
        await successor.close()


async def test_what_a_living_executor_runs_is_no_leftover(sandbox: Sandbox, backend: str) -> None:
    prepared = await sandbox.prepare(make_job("bash", "echo ran"))
    other = make_sandbox(backend)
    # Of tests that were killed there may be some.
    await other.remove_leftovers()
    assert await other.remove_leftovers() == 0
    await other.close()
    assert (await (await sandbox.start(prepared, Recorder())).wait()).stdout == b"ran\n"


def _processes(marker: str) -> list[str]:
    """`sleep` processes with the marker: the killed executor itself had it among its arguments too."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\0" + marker.encode() + b"\0":
                found.append(path.parent.name)
        except OSError:
            continue
    return found
