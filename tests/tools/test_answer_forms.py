"""The form of a question: whatever fits the question can be filled in, and is read back as it was."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_mcp.approvals.errors import InvalidAnswer
from hitl_mcp.approvals.human_questions import HumanQuestion, check_question, problems_with
from hitl_mcp.interface.answer_forms import FieldKind, fields_of, filled_in, read_form, read_typed

_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1, max_size=40
)
_numbers = st.integers(-(2**53) + 1, 2**53 - 1)
_scalars: st.SearchStrategy[tuple[dict[str, Any], st.SearchStrategy[Any]]] = st.one_of(
    st.just(({"type": "string"}, _texts)),
    st.just(({"type": "string", "maxLength": 40}, _texts)),
    st.just(({"type": "integer"}, _numbers)),
    st.just(({"type": "number"}, st.floats(allow_nan=False, allow_infinity=False, width=32))),
    st.just(({"type": "boolean"}, st.booleans())),
    st.lists(st.one_of(_texts, st.integers(2, 9), st.none()), min_size=1, max_size=5, unique=True).map(
        lambda values: ({"enum": values}, st.sampled_from(values))
    ),
)


@st.composite
def flat_questions(draw: st.DrawFn) -> tuple[HumanQuestion, Any]:
    names = draw(st.lists(_texts, min_size=1, max_size=6, unique=True))
    properties: dict[str, Any] = {}
    answer: dict[str, Any] = {}
    required: list[str] = []
    for name in names:
        schema, values = draw(_scalars)
        properties[name] = schema
        if draw(st.booleans()):
            required.append(name)
        if name in required or draw(st.booleans()):
            answer[name] = draw(values)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return HumanQuestion("?", answer_schema=schema), answer


@st.composite
def single_questions(draw: st.DrawFn) -> tuple[HumanQuestion, Any]:
    if draw(st.booleans()):
        schema, values = draw(_scalars)
        return HumanQuestion("?", answer_schema=schema), draw(values)
    choices = draw(
        st.lists(_texts.filter(lambda text: bool(text.strip())), min_size=1, max_size=5, unique=True)
    )
    return HumanQuestion("?", tuple(choices)), draw(st.sampled_from(choices))


@settings(deadline=None)
@given(st.one_of(flat_questions(), single_questions()))
def test_a_filled_in_form_is_read_as_the_answer_it_stands_for(case: tuple[HumanQuestion, Any]) -> None:
    question, answer = case
    check_question(question)
    assert problems_with(question, answer) == ()
    assert all(field.kind is not FieldKind.JSON for field in fields_of(question))
    read = read_form(question, filled_in(question, answer))
    assert read == answer
    assert problems_with(question, read) == ()


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["value", "field.1", "field.2", "field.9"]), st.text(max_size=20)))
def test_no_form_that_is_sent_makes_it_fall_over(form: dict[str, str]) -> None:
    flat = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", 1]}},
        "required": ["a"],
    }
    for question in (
        HumanQuestion("?"),
        HumanQuestion("?", ("a", "b")),
        HumanQuestion("?", answer_schema=flat),
        HumanQuestion("?", answer_schema={"type": "array", "items": {"type": "string"}}),
    ):
        # Anything but InvalidAnswer would be a defect.
        with contextlib.suppress(InvalidAnswer):
            problems_with(question, read_form(question, form))


def test_what_is_no_flat_object_is_answered_as_json() -> None:
    nested = HumanQuestion("?", answer_schema={"type": "object", "properties": {"a": {"type": "array"}}})
    assert [field.kind for field in fields_of(nested)] == [FieldKind.JSON]
    assert read_form(nested, {"value": '{"a": [1]}'}) == {"a": [1]}
    with pytest.raises(InvalidAnswer, match="JSON"):
        read_form(nested, {"value": "{"})


def test_a_typed_word_is_a_choice_its_number_or_text() -> None:
    colours = HumanQuestion("?", ("red", "2", "blue"))
    assert [read_typed(colours, word) for word in ("red", "2", "3")] == ["red", "2", "blue"]
    with pytest.raises(InvalidAnswer):
        read_typed(colours, "4")
    assert read_typed(HumanQuestion("?"), "7") == "7"
    assert read_typed(HumanQuestion("?", answer_schema={"type": "integer"}), "7") == 7
