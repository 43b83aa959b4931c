"""Quorum counts people: not spellings, channels or clicks, and never the requester."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_mcp.approvals.models import Verdict
from hitl_mcp.approvals.quorum import Vote, person_key, tally

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


def approvals(*people: str) -> list[Vote]:
    return [Vote(person, Verdict.APPROVE) for person in people]


@pytest.mark.parametrize(
    "spelling", ["alice", "ALICE", "Alice", "ａｌｉｃｅ", " alice ", "ＡＬＩＣＥ", "𝐚𝐥𝐢𝐜𝐞"]
)
def test_spellings_of_one_name_are_one_person(spelling: str) -> None:
    assert person_key(spelling) == "alice"
    assert not tally(approvals("alice", spelling), required=2, requester="agent").reached


def test_sharp_s_and_dotless_i_and_ligatures_fold_once_and_for_all() -> None:
    assert person_key("STRASSE") == person_key("straße")
    assert person_key("ﬁona") == person_key("FIONA")


@given(name=NAMES)
def test_folding_is_stable(name: str) -> None:
    assert person_key(person_key(name)) == person_key(name)


def test_distinct_people_make_a_quorum() -> None:
    assert tally(approvals("alice", "bob"), required=2, requester="agent").reached
    assert not tally(approvals("alice"), required=2, requester="agent").reached


@pytest.mark.parametrize("requester", ["alice", "ALICE", "ａlice"])
def test_the_requester_never_counts(requester: str) -> None:
    assert not tally(approvals("alice"), required=1, requester=requester).reached


def test_a_vote_without_a_name_never_counts() -> None:
    assert not tally(approvals("", " "), required=1, requester="agent").reached


def test_only_those_named_eligible_count() -> None:
    votes = approvals("alice", "bob")
    assert tally(votes, required=2, requester="agent", eligible={"ALICE", "Bob"}).reached
    assert not tally(votes, required=2, requester="agent", eligible={"alice"}).reached


def test_one_denial_outweighs_any_number_of_approvals() -> None:
    votes = [*approvals("alice", "bob"), Vote("carol", Verdict.DENY)]
    assert not tally(votes, required=2, requester="agent").reached


def test_a_denial_by_the_requester_does_not_count_either() -> None:
    votes = [*approvals("alice"), Vote("agent", Verdict.DENY)]
    assert tally(votes, required=1, requester="agent").reached


@pytest.mark.parametrize("required", [0, -1])
def test_a_quorum_of_nobody_is_refused(required: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        tally([], required=required, requester="agent")


@given(votes=st.lists(st.tuples(NAMES, SPELLINGS), max_size=12), required=st.integers(1, 6), requester=NAMES)
def test_however_votes_are_spelled_and_repeated_the_tally_counts_distinct_others(
    votes: list[tuple[str, Callable[[str], str]]], required: int, requester: str
) -> None:
    spelled = [spell(name) for name, spell in votes]
    names = [name for name, _ in votes]
    counted = tally(approvals(*names, *spelled), required=required, requester=requester)
    assert counted.approving == {person_key(name) for name in names} - {person_key(requester), ""}
    assert counted.reached == (len(counted.approving) >= required)
