"""Answers to questions, and questions asked back, in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.dialogue import GivenAnswer, QuestionBack
from hitl_mcp.approvals.documents import acted_as_from_text, acted_as_text
from hitl_mcp.approvals.levels import Assurance
from hitl_mcp.storage.schema import answers, questions

_ANSWERS = select(answers).where(answers.c.request_id.in_(bindparam("ids", expanding=True)))
_QUESTIONS = (
    select(questions)
    .where(questions.c.request_id.in_(bindparam("ids", expanding=True)))
    .order_by(questions.c.number)
)


class SqlDialogueStore:
    """The part of `approvals.ports.RequestStore` that keeps what is said about requests."""

    async def add_answer(self, connection: AsyncConnection, answer: GivenAnswer) -> None:
        await connection.execute(insert(answers), _answer_to_row(answer))

    async def put_question(self, connection: AsyncConnection, question: QuestionBack) -> None:
        row = _question_to_row(question)
        changed = await connection.execute(
            update(questions).where(questions.c.question_id == question.question_id).values(row)
        )
        if changed.rowcount == 0:
            await connection.execute(insert(questions), row)

    async def answers_to(
        self, connection: AsyncConnection, request_ids: Sequence[str]
    ) -> Mapping[str, GivenAnswer]:
        """The answers to these questions. ValueError or TypeError for a row that no release wrote."""
        if not request_ids:
            return {}
        found = (await connection.execute(_ANSWERS, {"ids": list(request_ids)})).mappings()
        return {row["request_id"]: _answer_from_row(row) for row in found}

    async def questions_about(
        self, connection: AsyncConnection, request_ids: Sequence[str]
    ) -> Mapping[str, Sequence[QuestionBack]]:
        """What was asked back about these requests, in its order."""
        asked: dict[str, list[QuestionBack]] = {}
        if request_ids:
            for row in (await connection.execute(_QUESTIONS, {"ids": list(request_ids)})).mappings():
                asked.setdefault(row["request_id"], []).append(QuestionBack(**row))
        return asked


def _answer_to_row(answer: GivenAnswer) -> dict[str, Any]:
    return {
        "request_id": answer.request_id,
        "action_digest": answer.action_digest,
        "display_digest": answer.display_digest,
        "person": answer.person,
        "answer": answer.answer,
        "channel": answer.channel,
        "assurance": answer.assurance.value,
        "evidence": dict(answer.evidence),
        "acted_as": acted_as_text(answer.acted_as),
        "answered_at": answer.answered_at,
        "seal": answer.seal,
    }


def _answer_from_row(row: Mapping[Any, Any]) -> GivenAnswer:
    if not isinstance(row["evidence"], dict):
        raise TypeError("a JSON object was expected")
    return GivenAnswer(
        request_id=row["request_id"],
        action_digest=row["action_digest"],
        display_digest=row["display_digest"],
        person=row["person"],
        answer=row["answer"],
        channel=row["channel"],
        assurance=Assurance(row["assurance"]),
        evidence=cast("dict[str, str]", row["evidence"]),
        acted_as=acted_as_from_text(row["acted_as"]),
        answered_at=row["answered_at"],
        seal=row["seal"],
    )


def _question_to_row(question: QuestionBack) -> dict[str, Any]:
    return {
        "question_id": question.question_id,
        "request_id": question.request_id,
        "number": question.number,
        "question": question.question,
        "asked_by": question.asked_by,
        "channel": question.channel,
        "asked_at": question.asked_at,
        "answer": question.answer,
        "answered_at": question.answered_at,
        "seal": question.seal,
    }
