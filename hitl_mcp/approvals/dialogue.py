"""What people and agents say to each other about a request: answers, and questions asked back. Values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from hitl_mcp.approvals.capacity import ActedAs
from hitl_mcp.approvals.levels import Assurance

MAX_QUESTION: Final = 4000
"""Characters of a question, of an agent or of a person, and of an agent's reply."""
MAX_ANSWER_BYTES: Final = 16_384
MAX_QUESTIONS_BACK: Final = 10


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """A person's answer to an agent's question: RFC 8785 JSON. `seal` is a MAC over every other field.

    The digests are those of the question as the person saw it.
    """

    request_id: str
    action_digest: str
    display_digest: str
    person: str
    answer: str
    channel: str
    assurance: Assurance
    evidence: Mapping[str, str]
    acted_as: ActedAs
    answered_at: datetime
    seal: str


@dataclass(frozen=True, slots=True)
class QuestionBack:
    """What a person asked the agent about its request, and the agent's reply once there is one.

    `number` counts the questions of a request from 1. `seal` is a MAC over every other field; a reply makes a
    new one.
    """

    question_id: str
    request_id: str
    number: int
    question: str
    asked_by: str
    channel: str
    asked_at: datetime
    seal: str
    answer: str | None = None
    answered_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.answer is None


@dataclass(frozen=True, slots=True)
class AnswerInput:
    """An answer as a channel hands it in, after it has proven who the person is.

    `action_digest` is the digest of the question that the person saw.
    """

    request_id: str
    person: str
    answer: JsonValue
    channel: str
    assurance: Assurance
    action_digest: str
    evidence: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class AskInput:
    """A question to the agent as a channel hands it in, after it has proven who the person is."""

    request_id: str
    person: str
    question: str
    channel: str
