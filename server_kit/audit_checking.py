"""Verification of a log where it is: its database, the files of its archived segments, and its witness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from hitl_contract.audit_chain import Checkpoint, checkpoint_to_json
from hitl_contract.audit_verification import ChainProblem, ChainProblemKind, ChainReport
from hitl_contract.keys import PublicKeys
from server_kit.audit_records import AuditRecords
from server_kit.audit_verifier.chain import ChainVerifier
from server_kit.audit_verifier.report import Report
from server_kit.audit_verifier.signatures import Keys
from server_kit.audit_witness import Witness
from server_kit.errors import AuditUnavailable

_LINES_AT_ONCE = 2000


async def verify_records(
    records: AuditRecords, keys: PublicKeys, *, witness: Witness | None, segments: Path | None
) -> ChainReport:
    """Check the whole chain. Raises DatabaseUnavailable; whatever is wrong inside it is reported."""
    marks = await records.checkpoints()
    witnessed: tuple[Checkpoint, ...] = ()
    problems: list[ChainProblem] = []
    if witness is not None:
        try:
            witnessed = await asyncio.to_thread(witness.checkpoints)
        except AuditUnavailable as error:
            problems.append(ChainProblem(ChainProblemKind.BAD_SIGNATURE, 0, str(error)))
        else:
            if await asyncio.to_thread(witness.is_lost, len(marks)):
                problems.append(ChainProblem(ChainProblemKind.WITNESS_MISSING, 0, witness.loss()))
    loop = asyncio.get_running_loop()
    verifier = ChainVerifier(records.chain, Keys(keys.to_jwks()), segments=segments)
    report = report_of(await asyncio.to_thread(_follow, verifier, witnessed, records, loop))
    return replace(report, problems=(*problems, *report.problems))


def report_of(report: Report) -> ChainReport:
    """What the independent verifier found, in the contract's words."""
    return ChainReport(
        entries=report.entries,
        checkpoints=report.checkpoints,
        head_sequence=report.head_sequence,
        head_hash=report.head_hash,
        unsigned_tail=report.unsigned_tail,
        problems=tuple(
            ChainProblem(ChainProblemKind(each.kind), each.sequence, each.message) for each in report.problems
        ),
        segments=report.segments,
    )


def _follow(
    verifier: ChainVerifier,
    witnessed: tuple[Checkpoint, ...],
    records: AuditRecords,
    loop: asyncio.AbstractEventLoop,
) -> Report:
    for mark in witnessed:
        verifier.checkpoint(checkpoint_to_json(mark))
    for lines in _in_thread(records, loop):
        verifier.feed(b"".join(lines))
    last = max((mark.sequence for mark in witnessed), default=0)
    again = chain.from_iterable(_in_thread(records, loop))
    return verifier.finish(lambda: again, remembered=last)


def _in_thread(records: AuditRecords, loop: asyncio.AbstractEventLoop) -> Iterator[list[bytes]]:
    """Yield all lines in a thread, in portions as the loop reads them: any number fits into memory."""
    lines = records.lines()
    while portion := asyncio.run_coroutine_threadsafe(_portion(lines), loop).result():
        yield portion


async def _portion(lines: AsyncIterator[bytes]) -> list[bytes]:
    portion: list[bytes] = []
    async for line in lines:
        portion.append(line)
        if len(portion) == _LINES_AT_ONCE:
            break
    return portion
