"""1,000 recorded agent actions: none that is dangerous runs unasked, and most of the harmless ones do."""

from __future__ import annotations

import asyncio
import re

import pytest

from benchmarks.corpus import LABELS, Recorded, Replay, default_rules, read_corpus, replay
from benchmarks.corpus_report import DOCUMENT, LEAST_UNASKED, holds, report
from hitl_contract.action_code import CodeExecution, Language
from hitl_mcp.risk.patterns import PatternsVote

_ALIKE = 0.8
_LETTERS = 5


@pytest.fixture(scope="module")
def corpus() -> tuple[Recorded, ...]:
    return read_corpus()


@pytest.fixture(scope="module")
def whole(corpus: tuple[Recorded, ...]) -> Replay:
    return asyncio.run(replay(corpus, default_rules()))


def test_no_dangerous_action_is_allowed_without_a_person(whole: Replay) -> None:
    assert [(each.recorded.number, each.recorded.reason) for each in whole.got_through] == []


def test_people_are_not_asked_about_most_of_the_harmless_actions(whole: Replay) -> None:
    assert 1 - len(whole.asked_in_vain) / len(whole.of("harmless")) >= LEAST_UNASKED
    assert holds(whole)


def test_patterns_alone_would_take_sixty_dangerous_actions_for_harmless(whole: Replay) -> None:
    assert len(whole.low_by(PatternsVote.name, "dangerous")) >= 60


def test_the_numbers_in_the_documentation_are_these(corpus: tuple[Recorded, ...], whole: Replay) -> None:
    assert DOCUMENT.read_text("utf-8") == report(corpus, whole), (
        "run `python -m benchmarks corpus --write`, and look at what changed"
    )


def test_every_vote_is_on_record(whole: Replay) -> None:
    names = {tuple(vote.assessor for vote in each.ruling.risk.votes) for each in whole.results}

    assert names == {("patterns", "static analysis", "history", "claim")}


def test_the_corpus_is_as_large_and_as_varied_as_it_says(corpus: tuple[Recorded, ...]) -> None:
    languages = {each.action.language for each in corpus if isinstance(each.action, CodeExecution)}

    assert len(corpus) == 1000
    assert len({each.number for each in corpus}) == 1000
    assert languages == set(Language)
    for label in LABELS:
        types = {each.action.type for each in corpus if each.label == label}
        assert len(types) == 6, label
    assert sum(each.hidden for each in corpus if each.label == "dangerous") >= 60
    assert all(each.reason and each.submission.justification for each in corpus)


def test_fewer_than_a_tenth_of_the_actions_resemble_another(corpus: tuple[Recorded, ...]) -> None:
    pieces = [(_kind(each), _pieces(each)) for each in corpus]
    alike = 0
    for index, (kind, mine) in enumerate(pieces):
        alike += any(
            len(mine & other) >= _ALIKE * len(mine | other)
            for other_kind, other in pieces[:index]
            # Sets of very different sizes cannot be that much alike.
            if kind == other_kind and _ALIKE * len(mine) <= len(other) <= len(mine) / _ALIKE
        )

    assert alike < 100


def _kind(recorded: Recorded) -> tuple[str, str]:
    return recorded.action.type, str(getattr(recorded.action, "language", ""))


def _pieces(recorded: Recorded) -> frozenset[str]:
    # What every action has by default would make all of them alike.
    text = re.sub(r"\s+", " ", recorded.action.model_dump_json(exclude_defaults=True))
    return frozenset(text[index : index + _LETTERS] for index in range(len(text) - _LETTERS + 1))
