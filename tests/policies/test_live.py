"""Rules in force on a running server: changes are noticed, broken files kept out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.policies.counting import NothingCounted
from hitl_mcp.policies.errors import PolicyRefused
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.live import LOOK_EVERY_SECONDS, LivePolicy
from hitl_mcp.policies.people import KnownPeople
from tests.conftest import ManualClock
from tests.policies.writing import NOW, PEOPLE, subject


class FixedPeople:
    """Implements `PeopleSource`."""

    def __init__(self, known: KnownPeople = PEOPLE) -> None:
        self.known = known

    async def known_people(self) -> KnownPeople:
        return self.known


class Rules:
    """A directory of rules, and the policy on it, whose time goes as far as a test wants."""

    def __init__(self, directory: Path, *, must_exist: bool = False) -> None:
        self.directory = directory
        self.policy = LivePolicy(
            Evaluator(NothingCounted()),
            ManualClock(NOW),
            directory=directory,
            people=FixedPeople(),
            must_exist=must_exist,
        )
        self._writes = 0

    def write(self, text: str, name: str = "a.yaml") -> None:
        self.directory.mkdir(exist_ok=True, mode=0o700)
        self._writes += 1
        file = self.directory / name
        file.write_text(text)
        file.chmod(0o600)
        # Two changes within one tick of the file system's clock would look alike.
        os.utime(file, ns=(self._writes, self._writes))

    async def verdict(self, *, later: bool = True) -> RuleVerdict:
        if later:
            self.policy._look_after = 0.0  # pyright: ignore[reportPrivateUsage]
        about = subject()
        return (await self.policy.evaluate(about.agent, about.submission, about.risk)).verdict


@pytest.fixture
def on_disk(tmp_path: Path) -> Rules:
    return Rules(tmp_path / "policies")


ALLOW = "rules: [{name: a, match: {action: code_execution}, then: allow}]"
DENY = "rules: [{name: a, then: deny}]"


async def test_a_changed_file_is_in_force_without_a_restart(on_disk: Rules) -> None:
    on_disk.write(ALLOW)
    await on_disk.policy.load()
    assert await on_disk.verdict() is RuleVerdict.ALLOW
    on_disk.write(DENY)
    assert await on_disk.verdict() is RuleVerdict.DENY
    on_disk.write("rules: []")
    on_disk.write(ALLOW, "b.yaml")
    assert await on_disk.verdict() is RuleVerdict.ALLOW


async def test_the_files_are_looked_at_every_two_seconds_at_most(on_disk: Rules) -> None:
    on_disk.write(ALLOW)
    assert await on_disk.verdict() is RuleVerdict.ALLOW
    on_disk.write(DENY)
    assert await on_disk.verdict(later=False) is RuleVerdict.ALLOW
    assert LOOK_EVERY_SECONDS == 2


@pytest.mark.parametrize(
    "broken", ["rules: [", "rules: [{name: a}]", "rules: [{name: a, then: ask, ask: {approvers: 9}}]"]
)
async def test_a_broken_file_keeps_the_rules_before_it_and_says_so(on_disk: Rules, broken: str) -> None:
    on_disk.write(DENY)
    await on_disk.policy.load()
    on_disk.write(broken)
    assert await on_disk.verdict() is RuleVerdict.DENY
    problem = (await on_disk.policy.state()).problem
    assert problem is not None
    assert f"{on_disk.directory / 'a.yaml'}:1: " in problem
    assert problem.endswith("the rules from before are kept")
    on_disk.write(ALLOW)
    assert await on_disk.verdict() is RuleVerdict.ALLOW
    assert (await on_disk.policy.state()).problem is None


async def test_a_broken_file_stops_the_start_with_one_line(on_disk: Rules) -> None:
    on_disk.write("rules:\n- {name: a, then: mabye}\n- {name: b, thn: ask}")
    with pytest.raises(PolicyRefused) as refused:
        await on_disk.policy.load()
    assert len(str(refused.value).splitlines()) == 1
    assert f"{on_disk.directory / 'a.yaml'}:2: rules[0].then has the value 'mabye'" in str(refused.value)
    assert "2 more" in str(refused.value)


async def test_without_a_directory_one_approver_is_asked(on_disk: Rules) -> None:
    await on_disk.policy.load()
    assert await on_disk.verdict() is RuleVerdict.ASK
    on_disk.write(DENY)
    assert await on_disk.verdict() is RuleVerdict.DENY


async def test_a_directory_that_is_set_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match="cannot be read: No such file"):
        await Rules(tmp_path / "policies", must_exist=True).policy.load()


async def test_a_directory_that_goes_away_leaves_the_rules_in_force(on_disk: Rules) -> None:
    on_disk.write(DENY)
    await on_disk.policy.load()
    on_disk.directory.rename(on_disk.directory.with_name("elsewhere"))
    assert await on_disk.verdict() is RuleVerdict.DENY
    assert (await on_disk.policy.state()).problem is not None


async def test_files_that_others_may_write_are_never_in_force(on_disk: Rules) -> None:
    on_disk.write(ALLOW)
    (on_disk.directory / "a.yaml").chmod(0o666)
    assert await on_disk.verdict() is RuleVerdict.ASK
    with pytest.raises(PolicyRefused, match="others may change the rules"):
        await on_disk.policy.load()


async def test_requests_at_the_same_time_see_old_or_new_rules_and_never_none(on_disk: Rules) -> None:
    on_disk.write(DENY)
    await on_disk.policy.load()
    for _ in range(5):
        on_disk.write(DENY + " # again")
        verdicts = await asyncio.gather(*(on_disk.verdict() for _ in range(20)))
        assert set(verdicts) == {RuleVerdict.DENY}
