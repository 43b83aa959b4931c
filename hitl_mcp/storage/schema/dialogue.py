"""Tables of what people and agents say about requests: answers to questions, and questions asked back."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text

from hitl_mcp.storage.schema.metadata import JsonText, UtcTime, metadata

# One for each question that was answered: the first answer is the only one.
answers = Table(
    "answers",
    metadata,
    Column("request_id", Text, ForeignKey("requests.request_id"), primary_key=True),
    Column("action_digest", Text, nullable=False),
    Column("display_digest", Text, nullable=False),
    Column("person", Text, nullable=False),
    # RFC 8785 JSON, kept as text: its seal is over exactly these characters.
    Column("answer", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("assurance", Text, nullable=False),
    Column("evidence", JsonText, nullable=False),
    Column("acted_as", Text, nullable=False),
    Column("answered_at", UtcTime, nullable=False),
    Column("seal", Text, nullable=False),
)

questions = Table(
    "questions",
    metadata,
    Column("question_id", Text, primary_key=True),
    Column("request_id", Text, ForeignKey("requests.request_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("question", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("asked_at", UtcTime, nullable=False),
    Column("answer", Text),
    Column("answered_at", UtcTime),
    Column("seal", Text, nullable=False),
    Index("uq_questions_request_number", "request_id", "number", unique=True),
)
