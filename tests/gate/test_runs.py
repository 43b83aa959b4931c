"""Runs of steps: what was done stays done, what was not approved is asked about again, nothing runs twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hitl_contract.action import Action, parse_action
from hitl_mcp.approvals.models import RequestStatus, RiskLevel
from hitl_mcp.gate import ApprovalDenied, ApprovalTimedOut, GateRequest, JournalRefused, RunStatus, Step
from hitl_mcp.gate.errors import NotAllowed
from hitl_mcp.gate.journal import Journal
from hitl_mcp.gate.steps import RunOutcome, run_steps
from hitl_mcp.gate.values import SpentAction
from tests.gate.test_gate import gate_of
from tests.tools.served import Served


def action(name: str, **arguments: Any) -> Action:
    return parse_action({"type": "tool_call", "server": "s", "tool": name, "arguments": arguments})


def refused(kind: type[ApprovalDenied] | type[ApprovalTimedOut]) -> NotAllowed:
    request: Any = GateRequest.__new__(GateRequest)
    object.__setattr__(request, "request_id", "req_1")
    object.__setattr__(request, "status", RequestStatus.DENIED)
    object.__setattr__(request, "explanation", "no")
    return kind(request)


class Approver:
    """Approves all but what `refusals` names; remembers what it was asked."""

    def __init__(self, **refusals: type[ApprovalDenied] | type[ApprovalTimedOut]) -> None:
        self.refusals = refusals
        self.asked: list[str] = []

    async def __call__(
        self, action: Action, *, reason: str | None = None, risk: RiskLevel | None = None
    ) -> SpentAction:
        assert action.type == "tool_call"
        self.asked.append(action.tool)
        if kind := self.refusals.get(action.tool):
            raise refused(kind)
        return SpentAction(action, "req_1")


class Program:
    """Three steps, the last of which depends on what the ones before returned."""

    def __init__(self, **failures: Exception) -> None:
        self.done: list[str] = []
        self.failures = failures

    def steps(self) -> list[Step]:
        return [
            Step("read", action("read"), self._do("read", {"rows": 3})),
            Step("sum", action("sum"), self._do("sum", 6)),
            Step("send", lambda results: action("send", total=results["sum"]), self._do("send", None)),
        ]

    def _do(self, name: str, result: Any) -> Callable[..., Awaitable[Any]]:
        async def do(_action: Action, _results: Any) -> Any:
            self.done.append(name)
            if error := self.failures.pop(name, None):
                raise error
            return result

        return do


async def run(directory: Path, approver: Approver, program: Program, **options: bool) -> RunOutcome:
    with Journal.open(directory, "monthly") as journal:
        return await run_steps(
            approver, journal, program.steps(), retry_interrupted=options.get("retry", False)
        )


async def test_a_denied_step_keeps_what_was_done_and_the_run_goes_on_from_there(tmp_path: Path) -> None:
    program, first, second = Program(), Approver(sum=ApprovalDenied), Approver()
    stopped = await run(tmp_path, first, program)
    assert (stopped.status, stopped.stopped_at) == (RunStatus.DENIED, "sum")
    assert stopped.results == {"read": {"rows": 3}}
    done = await run(tmp_path, second, program)
    assert done.status is RunStatus.COMPLETED
    assert done.results == {"read": {"rows": 3}, "sum": 6, "send": None}
    assert (first.asked, second.asked) == (["read", "sum"], ["sum", "send"])
    assert program.done == ["read", "sum", "send"]
    again = Approver()
    assert (await run(tmp_path, again, program)).results == done.results
    assert (again.asked, program.done) == ([], ["read", "sum", "send"])


async def test_a_step_that_nobody_decided_in_time_stops_the_run(tmp_path: Path) -> None:
    stopped = await run(tmp_path, Approver(read=ApprovalTimedOut), Program())
    assert (stopped.status, stopped.stopped_at, stopped.results) == (RunStatus.TIMED_OUT, "read", {})


async def test_a_step_that_was_cut_off_is_reported_and_not_repeated(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    program = Program()
    program.failures["sum"] = Killed()  # pyright: ignore[reportArgumentType]
    with pytest.raises(Killed):
        await run(tmp_path, Approver(), program)
    approver = Approver()
    interrupted = await run(tmp_path, approver, program)
    assert (interrupted.status, interrupted.stopped_at) == (RunStatus.INTERRUPTED, "sum")
    assert (approver.asked, program.done) == ([], ["read", "sum"])
    assert (await run(tmp_path, approver, program, retry=True)).status is RunStatus.COMPLETED
    assert approver.asked == ["sum", "send"]


async def test_a_step_that_failed_is_asked_about_again(tmp_path: Path) -> None:
    program = Program(sum=RuntimeError("disk full"))
    with pytest.raises(RuntimeError, match="disk full"):
        await run(tmp_path, Approver(), program)
    approver = Approver()
    assert (await run(tmp_path, approver, program)).status is RunStatus.COMPLETED
    assert approver.asked == ["sum", "send"]


async def test_a_step_that_became_another_act_is_not_taken_for_done(tmp_path: Path) -> None:
    await run(tmp_path, Approver(), Program())
    steps = [Step("read", action("read", other=True), Program()._do("read", 1))]
    with Journal.open(tmp_path, "monthly") as journal:
        with pytest.raises(JournalRefused, match="another action"):
            await run_steps(Approver(), journal, steps, retry_interrupted=False)
        with pytest.raises(JournalRefused, match="same name"):
            await run_steps(Approver(), journal, steps * 2, retry_interrupted=False)


async def test_a_line_cut_short_never_counted_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    await run(tmp_path, Approver(), Program())
    path = tmp_path / "monthly.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with Journal.open(tmp_path, "monthly") as journal:
        assert journal.entries[-1]["state"] == "started"
    path.write_bytes(content.replace(b'"rows":3', b'"rows":4'))
    with pytest.raises(JournalRefused, match="damaged"), Journal.open(tmp_path, "monthly"):
        pass


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".hidden", "x" * 101, "a\n"])
def test_a_run_is_named_plainly(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(JournalRefused), Journal.open(tmp_path, run_id):
        pass


def test_a_run_goes_on_in_one_place_at_a_time(tmp_path: Path) -> None:
    with (
        Journal.open(tmp_path, "monthly"),
        pytest.raises(JournalRefused, match="another process"),
        Journal.open(tmp_path, "monthly"),
    ):
        pass


async def test_a_result_that_is_no_json_counts_as_begun(tmp_path: Path) -> None:
    async def do(_action: Action, _results: Any) -> Any:
        return float("nan")

    with Journal.open(tmp_path, "monthly") as journal:
        steps = [Step("a", action("a"), do)]
        with pytest.raises(JournalRefused, match="not plain JSON"):
            await run_steps(Approver(), journal, steps, retry_interrupted=False)
        outcome = await run_steps(Approver(), journal, steps, retry_interrupted=False)
    assert outcome.status is RunStatus.INTERRUPTED


async def test_a_run_over_a_real_engine_is_asked_for_step_by_step(server: Served) -> None:
    program = Program()
    async with gate_of("remote", server) as gate:

        async def deciding(verdicts: list[str]) -> None:
            for verdict in verdicts:
                await server.decide((await server.one_pending())["request_id"], verdict)

        for verdicts, status in (
            (["approve", "deny"], RunStatus.DENIED),
            (["approve", "approve"], RunStatus.COMPLETED),
        ):
            decided = asyncio.create_task(deciding(verdicts))
            outcome = await gate.run("monthly", program.steps())
            await decided
            assert outcome.status is status
    assert program.done == ["read", "sum", "send"]
