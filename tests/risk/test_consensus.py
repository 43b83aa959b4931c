"""The highest vote is the level, nobody lowers it, and nobody who fails holds anything up."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.terms import RiskAssessment, RiskVote
from hitl_mcp.risk.assessor import Opinion
from hitl_mcp.risk.consensus import Consensus
from hitl_mcp.risk.errors import AssessorUnavailable
from server_kit.small_values import ON_THE_LOOP_CHARACTERS
from tests.risk.assessors import AGENT, Answers, Fails, Hangs, Says, SaysAtOnce, python, submission

LOW, MEDIUM, HIGH, CRITICAL = RiskLevel
CLAIMS = st.sampled_from([None, *RiskLevel])
VOTES = st.lists(st.sampled_from([None, *RiskLevel]), max_size=4)


def vote(assessment: RiskAssessment, name: str) -> RiskVote:
    return next(vote for vote in assessment.votes if vote.assessor == name)


async def assess(
    *assessors: Says, claim: RiskLevel | None = None, timeout_seconds: float = 10
) -> RiskAssessment:
    consensus = Consensus(assessors, timeout_seconds=timeout_seconds)
    return await consensus.assess(AGENT, submission(claim=claim))


def level_of(votes: list[RiskLevel | None], claim: RiskLevel | None) -> RiskLevel:
    voters = [Says(str(number), level) for number, level in enumerate(votes)]
    return asyncio.run(assess(*voters, claim=claim)).level


async def test_the_highest_vote_is_the_level() -> None:
    assessment = await assess(Says("a", LOW), Says("b", CRITICAL), Says("c", MEDIUM), claim=LOW)

    assert assessment.level is CRITICAL
    assert [(each.assessor, each.level) for each in assessment.votes] == [
        ("a", LOW),
        ("b", CRITICAL),
        ("c", MEDIUM),
        ("claim", LOW),
    ]


async def test_each_vote_says_who_cast_it_why_and_how_long_it_took() -> None:
    cast = vote(await assess(Says("patterns", LOW)), "patterns")

    assert cast.reason == "patterns has looked"
    assert 0 <= cast.seconds < 10


@given(votes=VOTES, claim=CLAIMS)
def test_the_level_is_never_below_what_the_agent_claims(
    votes: list[RiskLevel | None], claim: RiskLevel | None
) -> None:
    assert claim is None or level_of(votes, claim).rank >= claim.rank


@given(votes=VOTES, claims=st.tuples(st.sampled_from(RiskLevel), st.sampled_from(RiskLevel)))
def test_raising_the_claim_never_lowers_the_level(
    votes: list[RiskLevel | None], claims: tuple[RiskLevel, RiskLevel]
) -> None:
    lower, higher = sorted(claims, key=lambda level: level.rank)

    assert level_of(votes, lower).rank <= level_of(votes, higher).rank
    assert level_of(votes, None).rank <= level_of(votes, higher).rank


@given(votes=VOTES, extra=st.sampled_from(RiskLevel), claim=CLAIMS)
def test_one_more_vote_never_lowers_a_level_that_others_gave(
    votes: list[RiskLevel | None], extra: RiskLevel, claim: RiskLevel | None
) -> None:
    given_by_others = max((each for each in votes if each), key=lambda level: level.rank, default=LOW)

    assert level_of([*votes, extra], claim).rank >= max(given_by_others.rank, extra.rank)


@given(votes=VOTES, failing=st.integers(min_value=0, max_value=3), claim=CLAIMS)
def test_leaving_an_assessor_out_never_goes_below_the_others_and_the_claim(
    votes: list[RiskLevel | None], failing: int, claim: RiskLevel | None
) -> None:
    voters: list[Says] = [Says(str(number), level) for number, level in enumerate(votes)]
    broken = Fails("broken", RuntimeError("x"), essential=True)
    voters.insert(min(failing, len(voters)), broken)
    floor = max([each.rank for each in votes if each] + [claim.rank if claim else 0])

    assert asyncio.run(assess(*voters, claim=claim)).level.rank >= max(floor, MEDIUM.rank)


async def test_what_nobody_but_the_agent_judges_is_at_least_of_medium_risk() -> None:
    assert (await assess(claim=LOW)).level is MEDIUM
    assert (await assess(Says("history", None), claim=LOW)).level is MEDIUM


async def test_an_assessor_that_fails_is_left_out_with_the_reason_and_logged_without_the_details() -> None:
    with capture_logs() as logs:
        assessment = await assess(Says("a", LOW), Fails("b", RuntimeError("password=hunter2")))

    assert assessment.level is LOW
    assert vote(assessment, "b") == RiskVote("b", None, "left out: it failed", vote(assessment, "b").seconds)
    assert [log["assessor"] for log in logs] == ["b"]
    assert "hunter2" not in repr(logs)


async def test_an_assessor_says_itself_why_it_is_unavailable() -> None:
    assessment = await assess(Says("a", LOW), Fails("model", AssessorUnavailable("the endpoint is down")))

    assert vote(assessment, "model").reason == "left out: the endpoint is down"


async def test_nothing_is_low_while_an_essential_assessor_is_left_out() -> None:
    broken = Fails("static analysis", MemoryError(), essential=True)

    assert (await assess(Says("patterns", LOW), broken, claim=LOW)).level is MEDIUM


async def test_an_assessor_that_never_answers_holds_nothing_up_even_when_it_ignores_being_cancelled() -> None:
    stuck = Hangs("model")
    try:
        async with asyncio.timeout(5):
            assessment = await assess(Says("a", HIGH), stuck, timeout_seconds=0.05)
    finally:
        stuck.released.set()

    assert assessment.level is HIGH
    assert vote(assessment, "model").reason == "left out: no answer within 0.05 s"


async def test_an_assessor_that_cancels_itself_is_left_out() -> None:
    assessment = await assess(Says("a", LOW), Fails("b", asyncio.CancelledError()))

    assert assessment.level is LOW
    assert vote(assessment, "b").reason.startswith("left out")


@pytest.mark.parametrize("answer", [None, "low", {"level": "low"}, object()])
async def test_an_answer_that_is_no_opinion_leaves_its_assessor_out(answer: object) -> None:
    assessment = await assess(Says("a", LOW), Answers("b", answer))

    assert assessment.level is LOW
    assert vote(assessment, "b").reason == "left out: it failed"


async def test_a_small_action_is_judged_at_once_by_who_can_and_a_large_one_is_not() -> None:
    quick = SaysAtOnce("quick", Opinion(CRITICAL, "seen"))
    consensus = Consensus([quick, Says("slow", LOW)])

    small = await consensus.assess(AGENT, submission())
    assert [vote(small, name).level for name in ("quick", "slow")] == [CRITICAL, LOW]
    assert (small.level, quick.asked) == (CRITICAL, 0)

    large = await consensus.assess(AGENT, submission(python("x = 1\n" * ON_THE_LOOP_CHARACTERS)))
    assert (large.level, quick.asked) == (LOW, 1)


async def test_who_fails_to_answer_at_once_is_left_out_and_is_not_asked_again() -> None:
    quick = SaysAtOnce("quick", RuntimeError("a secret"))
    assessment = await Consensus([quick, Says("slow", LOW)]).assess(AGENT, submission())

    assert vote(assessment, "quick").reason == "left out: it failed"
    assert (assessment.level, quick.asked) == (LOW, 0)


async def test_all_assessors_are_asked_at_the_same_time() -> None:
    meeting = asyncio.Barrier(3)

    class Meets(Says):
        async def assess(self, agent: object, submission: object) -> object:  # type: ignore[override]
            await meeting.wait()
            return await super().assess(agent, submission)  # type: ignore[arg-type]

    async with asyncio.timeout(5):
        assessment = await assess(*(Meets(name, LOW) for name in "abc"))

    assert assessment.level is LOW


async def test_a_caller_that_goes_away_takes_the_assessors_with_it() -> None:
    cancelled = asyncio.Event()

    class Waits(Says):
        async def assess(self, agent: object, submission: object) -> object:  # type: ignore[override]
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    task = asyncio.create_task(assess(Waits("a", LOW)))
    while not task.done() and not cancelled.is_set():
        await asyncio.wait({task}, timeout=0.01)
        task.cancel()

    async with asyncio.timeout(5):
        await cancelled.wait()
    assert task.cancelled()


def test_two_assessors_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        Consensus([Says("a", LOW), Says("a", HIGH)])
