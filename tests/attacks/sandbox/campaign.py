"""Runs attacks, several at a time and each in a sandbox of its own, and judges them from outside.

Knows nothing but the `Sandbox` Protocol: whatever implements it can be attacked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from executor_mcp.sandbox.base import Sandbox, SandboxJob, SandboxOutcome
from executor_mcp.sandbox.errors import SandboxError
from hitl_contract.action_code import InputFile, Language
from tests.attacks.sandbox import host
from tests.attacks.sandbox.attack import BREACH, HERE, Attack
from tests.sandbox.support import Recorder, begin, make_job, processes_with, until

_KIT = {
    Language.PYTHON: ("attack.py",),
    Language.NODEJS: ("attack.cjs",),
    Language.BASH: ("attack.sh",),
}
_ELSEWHERE = (b":/bin/sh", b":/bin/bash", b"nologin")
"""Words of the sandbox's own /etc/passwd, the favourite of links."""

MOST_SECONDS = 60.0
"""No attack takes longer, however it ends: the longest limit on time, the grace and the removal."""


@dataclass(frozen=True)
class Report:
    """What an attack came to. `faults` are what was not as it has to be: none when the sandbox held."""

    outcomes: tuple[SandboxOutcome, ...]
    faults: tuple[str, ...]


@dataclass
class Campaign:
    """The reports by attack, and what the host looked like before and after all of them."""

    reports: dict[str, Report] = field(default_factory=dict[str, Report])
    knocks: list[str] = field(default_factory=list[str])
    switches_before: Mapping[str, str] = field(default_factory=dict[str, str])
    switches_after: Mapping[str, str] = field(default_factory=dict[str, str])
    descriptors: tuple[int, int] = (0, 0)
    resident_bytes: tuple[int, int] = (0, 0)
    seconds: float = 0.0


async def run_campaign(
    make: Callable[[], Sandbox], backend: str, attacks: Iterable[Attack], *, at_a_time: int
) -> Campaign:
    """Runs each attack once, `at_a_time` of them side by side, in one sandbox object of `make`'s."""
    campaign = Campaign()
    room = asyncio.Semaphore(at_a_time)
    async with host.Host() as around:
        sandbox = make()
        # Whatever is set up once and kept is there before anything is counted.
        await (await begin(sandbox, make_job("bash", "true"))).wait()
        campaign.switches_before = host.switches()
        descriptors, memory, started = host.open_descriptors(), host.resident_bytes(), time.monotonic()

        async def one(attack: Attack) -> None:
            async with room:
                try:
                    report = await _attack(sandbox, backend, attack, around)
                except (SandboxError, AssertionError) as error:
                    report = Report((), (f"{type(error).__name__}: {error}",))
                campaign.reports[str(attack)] = report

        await asyncio.gather(*(one(attack) for attack in attacks))
        campaign.seconds = time.monotonic() - started
        campaign.descriptors = (descriptors, host.open_descriptors())
        campaign.resident_bytes = (memory, host.resident_bytes())
        campaign.switches_after = host.switches()
        campaign.knocks = list(around.knocks)
        await sandbox.close()
    return campaign


async def _attack(sandbox: Sandbox, backend: str, attack: Attack, around: host.Host) -> Report:
    marker = f"9{secrets.randbelow(10**15):015}"
    outcomes: list[SandboxOutcome] = []
    async with _beside(sandbox, attack, marker) as neighbour:
        for _ in range(2 if attack.twice else 1):
            outcomes.append(await _run(sandbox, _job(attack, around, marker), attack.cancelled_after))
    faults = [fault for outcome in outcomes for fault in judge(attack, backend, outcome)] + neighbour
    if attack.differs and len({outcome.stdout for outcome in outcomes}) == 1:
        faults.append(f"two runs were the same: {outcomes[0].stdout[:200]!r}")
    if attack.expected[backend].not_stopped is not None:
        # What is known not to be stopped has to succeed: its file must not say less than what is true.
        faults = [] if faults else ["it is stopped here, but its file says otherwise"]
    faults += [f"a secret of the host came out of {name}" for name in _told(outcomes, around.secret)]
    faults += [f"alive on the host: process {number}" for number in processes_with(marker)]
    faults += [f"left on the host: {path}" for path in host.planted(marker)]
    return Report(tuple(outcomes), tuple(faults))


def judge(attack: Attack, backend: str, outcome: SandboxOutcome) -> list[str]:
    """What is not as the attack's file says that it is when the sandbox holds."""
    expected = attack.expected[backend]
    said = [line for line in (*outcome.stdout.split(b"\n"), *outcome.stderr.split(b"\n")) if BREACH in line]
    faults = [line.decode("utf-8", "replace")[:500] for line in said]
    ended = f"exited {outcome.exit_code}" if outcome.termination == "exited" else outcome.termination
    if ended not in expected.ends:
        faults.append(f"it ended as {ended!r}, not as one of {sorted(expected.ends)} ({outcome.detail})")
    last = outcome.stdout.decode("utf-8", "replace").rstrip("\n").rsplit("\n", 1)[-1]
    if expected.says and last != expected.says and ended.startswith("exited"):
        faults.append(f"it said {last[-200:]!r} at last, not {expected.says!r}")
    files = {file.path for file in outcome.files}
    if expected.files is not None and files != expected.files:
        faults.append(f"it left the files {sorted(files)[:5]}, not {sorted(expected.files)}")
    faults += [
        f"the file {file.path} has what lies elsewhere"
        for file in outcome.files
        if any(words in file.content for words in _ELSEWHERE)
    ]
    if outcome.usage.wall_seconds > MOST_SECONDS:
        faults.append(f"it took {outcome.usage.wall_seconds:.1f} s")
    return faults


@contextlib.asynccontextmanager
async def _beside(sandbox: Sandbox, attack: Attack, marker: str) -> AsyncIterator[list[str]]:
    """Runs the neighbour meanwhile; what it noticed is in the list once it has ended."""
    noticed: list[str] = []
    if attack.beside is None:
        yield noticed
        return
    path = HERE / "beside" / attack.beside
    sink = Recorder()
    language = path.suffix.removeprefix(".")
    job = make_job(
        language,
        path.read_text(),
        files=_files(Language(language)),
        wall_seconds=30,
        input_data={"marker": marker},
    )
    neighbour = await begin(sandbox, job, sink)
    await until(lambda: b"up\n" in sink.out, f"{attack.beside} is up")
    yield noticed
    seen = len(sink.out)
    if b"BREACH" not in sink.out:
        # It goes on, and then looks at what it has: two more rounds of it.
        await until(
            lambda: sink.out[seen:].count(b"\n") >= 2 or b"BREACH" in sink.out, f"{attack.beside} goes on"
        )
    await neighbour.cancel()
    outcome = await neighbour.wait()
    if outcome.termination != "cancelled":
        noticed.append(f"its neighbour ended as {outcome.termination} ({outcome.stderr[-300:]!r})")
    noticed += [line.decode("utf-8", "replace") for line in sink.out.split(b"\n") if BREACH in line]


async def _run(sandbox: Sandbox, job: SandboxJob, cancelled_after: float | None) -> SandboxOutcome:
    running = await begin(sandbox, job)
    if cancelled_after is not None:
        await asyncio.sleep(cancelled_after)
        before = time.monotonic()
        await running.cancel()
        assert time.monotonic() - before < 15.0, "cancelling took more than 15 s"
    return await running.wait()


def _job(attack: Attack, around: host.Host, marker: str) -> SandboxJob:
    language = Language(attack.language)
    return make_job(
        attack.language,
        attack.code,
        files=_files(language),
        input_data=around.told_to_the_program(marker),
        **attack.limits,
    )


def _files(language: Language) -> tuple[InputFile, ...]:
    return tuple(InputFile(path=name, content=(HERE / "kit" / name).read_text()) for name in _KIT[language])


def _told(outcomes: Iterable[SandboxOutcome], secret: str) -> list[str]:
    """Where the secret is in what came out, be it in a file's name."""
    needle = secret.encode()
    found: list[str] = []
    for outcome in outcomes:
        places = {
            "stdout": outcome.stdout,
            "stderr": outcome.stderr,
            "result": outcome.result_json or b"",
            "detail": json.dumps(outcome.detail).encode(),
            **{f"file {file.path}": file.path.encode() + file.content for file in outcome.files},
        }
        found += [name for name, content in places.items() if needle in content]
    return found
