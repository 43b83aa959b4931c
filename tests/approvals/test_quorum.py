"""Quorum counts people: not spellings, channels or clicks, and never the requester."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_mcp.approvals.capacity import ActedAs, ActingFor, Capacity
from hitl_mcp.approvals.models import Verdict
from hitl_mcp.approvals.quorum import (
    Ballot,
    Electorate,
    NoSeat,
    person_key,
    seat,
    seating,
    still_holding,
    tally,
)
from hitl_mcp.approvals.terms import EscalationLevel, GroupQuorum, Stage, Terms

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = st.text(min_size=1, max_size=12)
SPELLINGS = st.sampled_from(
    [
        str,
        str.casefold,
        lambda name: f"  {name} ",
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: unicodedata.normalize("NFKC", name),
    ]
)


def ballot(
    person: str,
    *groups: str,
    verdict: Verdict = Verdict.APPROVE,
    stage: int = 0,
    acting_for: tuple[ActingFor, ...] = (),
    after: int = 0,
) -> Ballot:
    acted_as = ActedAs(frozenset(groups or {"approver"}), acting_for)
    return Ballot(person, verdict, NOW + timedelta(seconds=after), stage, acted_as)


def approvals(*people: str) -> list[Ballot]:
    return [ballot(person) for person in people]


def denial(person: str, *groups: str) -> Ballot:
    return ballot(person, *groups, verdict=Verdict.DENY)


def stage(**counts: int) -> Stage:
    return Stage(tuple(GroupQuorum(group, count) for group, count in counts.items()))


def asking(
    *stages: Stage, requester: str = "agent", editors: tuple[str, ...] = (), **more: object
) -> Electorate:
    terms = Terms(stages=stages or (stage(approver=1),), **more)  # type: ignore[arg-type]
    return Electorate(terms, requester, NOW, editors)


TWO = asking(stage(approver=2))


@pytest.mark.parametrize(
    "spelling", ["alice", "ALICE", "Alice", "ａｌｉｃｅ", " alice ", "ＡＬＩＣＥ", "𝐚𝐥𝐢𝐜𝐞"]
)
def test_spellings_of_one_name_are_one_person(spelling: str) -> None:
    assert person_key(spelling) == "alice"
    assert not tally(approvals("alice", spelling), TWO).reached


def test_sharp_s_and_dotless_i_and_ligatures_fold_once_and_for_all() -> None:
    assert person_key("STRASSE") == person_key("straße")
    assert person_key("ﬁona") == person_key("FIONA")


@given(name=NAMES)
def test_folding_is_stable(name: str) -> None:
    assert person_key(person_key(name)) == person_key(name)


def test_distinct_people_make_a_quorum() -> None:
    assert tally(approvals("alice", "bob"), TWO).reached
    assert not tally(approvals("alice"), TWO).reached


@pytest.mark.parametrize("requester", ["alice", "ALICE", "ａlice"])
def test_the_requester_never_counts(requester: str) -> None:
    assert not tally(approvals("alice"), asking(requester=requester)).reached


def test_a_vote_without_a_name_never_counts() -> None:
    assert not tally(approvals("", " "), asking()).reached


def test_one_denial_outweighs_any_number_of_approvals() -> None:
    votes = [*approvals("alice", "bob"), denial("carol")]
    assert not tally(votes, TWO).reached


def test_as_many_denials_as_the_terms_say_end_it() -> None:
    tolerant = asking(stage(approver=2), denials_to_end=2)
    votes = [*approvals("alice", "bob"), denial("carol")]
    assert tally(votes, tolerant).reached
    assert not tally([*votes, denial("dave")], tolerant).reached
    assert not tally([*votes, denial("CAROL")], tolerant).denied


def test_a_denial_by_the_requester_does_not_count_either() -> None:
    assert tally([*approvals("alice"), denial("agent")], asking()).reached


@pytest.mark.parametrize("stages", [(), (Stage(()),), (stage(approver=0),), (stage(approver=-1),)])
def test_a_quorum_of_nobody_is_refused(stages: tuple[Stage, ...]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        tally([], Electorate(Terms(stages=stages), "agent", NOW))


@given(votes=st.lists(st.tuples(NAMES, SPELLINGS), max_size=12), required=st.integers(1, 6), requester=NAMES)
def test_however_votes_are_spelled_and_repeated_the_tally_counts_distinct_others(
    votes: list[tuple[str, Callable[[str], str]]], required: int, requester: str
) -> None:
    spelled = [spell(name) for name, spell in votes]
    people = {person_key(name) for name, _ in votes} - {person_key(requester), ""}
    names = [name for name, _ in votes]
    counted = tally(approvals(*names, *spelled), asking(stage(approver=required), requester=requester))
    assert counted.approving <= people
    assert counted.reached == (len(people) >= required)


def test_somebody_in_two_groups_takes_one_seat_and_the_one_that_helps() -> None:
    both = asking(stage(security=1, platform=1))
    assert not tally([ballot("alice", "security", "platform")], both).reached
    assert tally([ballot("alice", "security", "platform"), ballot("bob", "security")], both).reached
    assert tally([ballot("bob", "security"), ballot("alice", "security", "platform")], both).reached
    assert not tally([ballot("alice", "security"), ballot("bob", "security")], both).reached


def test_groups_match_however_they_are_spelled() -> None:
    assert tally([ballot("alice", "security")], asking(stage(Security=1))).reached


def test_what_is_missing_is_named() -> None:
    counted = tally([ballot("alice", "platform")], asking(stage(security=1, platform=2)))
    assert counted.missing == (GroupQuorum("security", 1), GroupQuorum("platform", 1))


def test_somebody_acting_for_another_takes_a_seat_of_theirs_once() -> None:
    lent = (ActingFor("carol", frozenset({"security"}), "del_1"),)
    both = asking(stage(security=1, platform=1))
    one = ballot("alice", "platform", acting_for=lent)
    assert not tally([one], both).reached
    assert tally([one, ballot("bob", "platform")], both).reached


@pytest.mark.parametrize("barred", ["agent", "owner"])
def test_neither_the_requester_nor_the_excluded_count_through_a_delegation(barred: str) -> None:
    terms = asking(stage(security=1), excluded=("Owner",))
    from_them = (ActingFor(barred, frozenset({"security"}), "del_1"),)
    to_them = (ActingFor("carol", frozenset({"security"}), "del_1"),)
    assert not tally([ballot("alice", "x", acting_for=from_them)], terms).reached
    assert not tally([ballot(barred, "x", acting_for=to_them)], terms).reached
    assert tally([ballot("alice", "x", acting_for=to_them)], terms).reached


def test_an_editor_counts_only_where_the_terms_say_so() -> None:
    assert tally(approvals("alice"), asking(editors=("ALICE",))).reached
    assert not tally(approvals("alice"), asking(editors=("ALICE",), editor_counts=False)).reached


def test_somebody_of_an_escalation_level_takes_any_seat_once_it_is_due() -> None:
    level = EscalationLevel(60, groups=("managers",), people=("Dave",))
    terms = asking(stage(security=1), escalation=(level,))
    for who in (("erin", "managers"), ("dave", "x")):
        assert not tally([ballot(*who, after=59)], terms).reached
        assert tally([ballot(*who, after=60)], terms).reached


def test_stages_are_filled_in_order_by_different_people() -> None:
    two = asking(stage(security=1), stage(platform=1))
    assert tally([ballot("alice", "security"), ballot("bob", "platform", stage=1)], two).reached
    assert not tally([ballot("alice", "security"), ballot("bob", "platform")], two).reached
    assert seat([], ballot("bob", "platform"), two) is NoSeat.STAGE_NOT_COME
    assert seat([ballot("alice", "security")], ballot("bob", "platform"), two) == 1
    assert seat([ballot("alice", "security")], ballot("carol", "security"), two) is NoSeat.STAGE_PASSED
    assert seat([], ballot("carol", "sales"), two) is NoSeat.NOT_IN_ANY_GROUP


def test_in_stages_that_are_not_separate_an_approval_counts_in_the_later_ones_too() -> None:
    both = ballot("alice", "security", "platform")
    stages = (stage(security=1), stage(platform=1))
    assert tally([both], asking(*stages, separate_stages=False)).reached
    assert not tally([both], asking(*stages)).reached


def test_a_seat_that_is_taken_is_not_taken_again() -> None:
    terms = asking(stage(security=1, platform=1))
    assert seat([ballot("alice", "security")], ballot("bob", "security"), terms) is NoSeat.SEATS_TAKEN
    assert seat([ballot("alice", "security", "platform")], ballot("bob", "security"), terms) == 0
    full = [ballot("alice", "security"), ballot("bob", "platform")]
    assert seat(full, ballot("carol", "security"), terms) is NoSeat.SEATS_TAKEN


def sitting(ballots: Sequence[Ballot], terms: Electorate) -> list[list[tuple[str, str | None]]]:
    return [
        [(each.group, each.taken_by.person if each.taken_by else None) for each in stage]
        for stage in seating(ballots, terms)
    ]


def test_who_sits_where_is_told_stage_by_stage() -> None:
    terms = asking(stage(security=1, platform=1), stage(sales=1))
    assert sitting([], terms) == [[("security", None), ("platform", None)], [("sales", None)]]
    alice, bob = ballot("alice", "security", "platform"), ballot("bob", "security")
    carol = ballot("carol", "sales", stage=1)
    assert sitting([alice, bob, denial("dan", "platform")], terms) == [
        [("security", "bob"), ("platform", "alice")],
        [("sales", None)],
    ]
    assert sitting([alice, bob, carol], terms)[1] == [("sales", "carol")]


def test_nobody_sits_in_a_stage_before_its_turn() -> None:
    terms = asking(stage(security=1), stage(platform=1), separate_stages=False)
    assert sitting([ballot("bob", "platform", stage=1)], terms) == [
        [("security", None)],
        [("platform", None)],
    ]


def test_what_somebody_may_no_longer_do_no_longer_counts() -> None:
    lent = ActingFor("carol", frozenset({"security"}), "del_1")
    given_then = ballot("alice", "platform", acting_for=(lent,))

    def left(capacity: Capacity) -> ActedAs | None:
        held = still_holding([given_then], {"alice": capacity})
        return held[0].acted_as if held else None

    whole = Capacity("alice", "Alice", frozenset({"platform", "sales"}), (lent,))
    assert left(whole) == given_then.acted_as
    assert left(Capacity("alice", "Alice", frozenset({"sales"}), (lent,))) == ActedAs(frozenset(), (lent,))
    other = ActingFor("carol", frozenset({"security"}), "del_2")
    assert left(Capacity("alice", "Alice", frozenset(), (other,))) == ActedAs()
    assert still_holding([given_then], {}) == []


GROUPS = ["a", "b", "c"]
VOTERS = st.lists(
    st.tuples(st.sampled_from("pqrst"), st.sets(st.sampled_from(GROUPS), min_size=1)), max_size=5
)


def naively_filled(seats: Sequence[str], people: Sequence[tuple[str, set[str]]]) -> bool:
    """Try every way to put people on seats."""
    return any(
        len({who for who, _ in order}) == len(order)
        and all(group in groups for group, (_, groups) in zip(seats, order, strict=True))
        for order in itertools.permutations(people, len(seats))
    )


@given(voters=VOTERS, counts=st.dictionaries(st.sampled_from(GROUPS), st.integers(1, 2), min_size=1))
def test_a_stage_is_filled_exactly_when_there_is_any_way_to_fill_it(
    voters: list[tuple[str, set[str]]], counts: dict[str, int]
) -> None:
    first = list({name: (name, groups) for name, groups in reversed(voters)}.values())
    seats = [group for group, count in counts.items() for _ in range(count)]
    ballots = [ballot(name, *groups) for name, groups in voters]
    assert tally(ballots, asking(stage(**counts))).reached == naively_filled(seats, first)
