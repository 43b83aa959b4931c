"""A question to people, and the action that stands for it: stored, drawn and sealed like every action.

The action is a `generic` one of an operation of its own, which no request for approval may use. So what
people are shown of a question is the deterministic rendering with its digest, and a question is no approval:
`proof` mints for requests of the kind `action` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import JsonValue

from hitl_contract.action import Action, parse_action
from hitl_contract.errors import FieldProblem
from hitl_mcp.approvals.answer_schemas import answer_problems, check_answer_schema, size_problem
from hitl_mcp.approvals.dialogue import MAX_QUESTION
from hitl_mcp.approvals.errors import InvalidSubmission
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.terms import RiskAssessment, RuleVerdict, Ruling, Terms
from hitl_mcp.approvals.validation import check_text

OPERATION: Final = "ask_human"
MAX_CHOICES: Final = 20
MAX_CHOICE: Final = 200


@dataclass(frozen=True, slots=True)
class HumanQuestion:
    """What an agent wants to know. The answer is a choice, or fits the schema, or is free text."""

    question: str
    choices: tuple[str, ...] = ()
    answer_schema: dict[str, JsonValue] | None = None


def check_question(question: HumanQuestion) -> None:
    """Raises InvalidSubmission."""
    if not question.question.strip():
        raise InvalidSubmission("question", "is empty; say what you want to know")
    check_text("question", question.question, MAX_QUESTION)
    if question.choices and question.answer_schema is not None:
        raise InvalidSubmission("choices", "and answer_schema exclude each other; give one of them")
    if len(question.choices) > MAX_CHOICES:
        raise InvalidSubmission("choices", f"has {len(question.choices)}; at most {MAX_CHOICES} are allowed")
    if len(set(question.choices)) != len(question.choices):
        raise InvalidSubmission("choices", "names one choice twice")
    for number, choice in enumerate(question.choices, 1):
        if not choice.strip():
            raise InvalidSubmission(f"choices.{number}", "is blank")
        check_text(f"choices.{number}", choice, MAX_CHOICE)
    if question.answer_schema is not None:
        check_answer_schema(question.answer_schema)


def ruling_on(question: HumanQuestion) -> Ruling:
    """No rule is asked: none may answer for people, and what is answered allows nothing.

    A choice can be tapped in a chat; any other answer is written by somebody who has signed in.
    """
    assurance = Assurance.CHAT if question.choices else Assurance.SESSION
    return Ruling(
        rule="ask-human",
        verdict=RuleVerdict.ASK,
        risk=RiskAssessment(RiskLevel.LOW),
        terms=Terms(required_assurance=assurance, may_edit=False),
        explanation="An agent asks a question. Whoever may decide may answer it; the first answer ends it.",
    )


def action_of(question: HumanQuestion) -> Action:
    """The action under which a question is stored."""
    details: dict[str, Any] = {"question": question.question}
    if question.choices:
        details["choices"] = list(question.choices)
    if question.answer_schema is not None:
        details["answer_schema"] = question.answer_schema
    return parse_action({"type": "generic", "operation": OPERATION, "details": details})


def is_question(action: Action) -> bool:
    """Whether this is the action of a question."""
    return action.type == "generic" and action.operation == OPERATION


def question_of(action: Action) -> HumanQuestion:
    """The question that `action_of` made this action for. ValueError for another action."""
    if action.type != "generic" or action.operation != OPERATION:
        raise ValueError("this action is no question")
    details = cast("dict[str, Any]", action.model_dump(mode="json")["details"])
    return HumanQuestion(
        str(details["question"]), tuple(map(str, details.get("choices", ()))), details.get("answer_schema")
    )


def problems_with(question: HumanQuestion, answer: JsonValue) -> tuple[FieldProblem, ...]:
    """What keeps `answer` from answering `question`; empty when it does."""
    if question.answer_schema is not None:
        return answer_problems(question.answer_schema, answer)
    if oversized := size_problem(answer):
        return (oversized,)
    if question.choices:
        return () if answer in question.choices else (FieldProblem("answer", "must be one of the choices"),)
    if not isinstance(answer, str) or not answer.strip():
        return (FieldProblem("answer", "must be text that is not blank"),)
    if len(answer) > MAX_QUESTION:
        long = f"has {len(answer)} characters; at most {MAX_QUESTION} are allowed"
        return (FieldProblem("answer", long),)
    return ()
