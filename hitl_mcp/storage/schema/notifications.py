"""Tables of notification: the outbox, the cards people see, the dispatcher's lease, handled callbacks."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, false

from hitl_mcp.storage.schema.metadata import JsonText, UtcTime, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("request_id", Text, ForeignKey("requests.request_id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("delivered_at", UtcTime),
    Column("last_error", Text),
    Column("dead_at", UtcTime),
    Index("ix_outbox_open", "channel", "delivered_at", "dead_at", "due_at"),
    Index("ix_outbox_request", "request_id", "channel"),
)

cards = Table(
    "cards",
    metadata,
    Column("request_id", Text, ForeignKey("requests.request_id"), primary_key=True),
    Column("channel", Text, primary_key=True),
    # What the buttons carry: a MAC over channel, request, digest and `offers_approve` (notifiers.nonces).
    Column("nonce", Text, nullable=False, unique=True),
    Column("action_digest", Text, nullable=False),
    Column("offers_approve", Boolean, nullable=False),
    Column("reference", JsonText, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # The outbox row of the newest call to this card that was begun.
    Column("call", Integer),
    # When people were first shown it, and what further requests it may carry besides those of its digest.
    Column("opened_at", UtcTime),
    Column("kin", Text),
    # The request whose card shows this one; that card then carries more than its own.
    Column("carried_by", Text),
    Column("carries", Boolean, nullable=False, server_default=false()),
    # What the message of a card that carries others shows of each.
    Column("showing", Text),
    Index("ix_cards_state", "state", "channel"),
    Index("ix_cards_opened", "channel", "opened_at"),
    Index("ix_cards_carried", "carried_by", "channel"),
)

# Each way in which a card that carries several requests was shown, by what its buttons carried.
card_faces = Table(
    "card_faces",
    metadata,
    Column("nonce", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("request_id", Text, ForeignKey("requests.request_id"), nullable=False),
    # The pairs of request and digest that one tap decides.
    Column("items", JsonText, nullable=False),
    Column("offers_approve", Boolean, nullable=False),
    # When it took the place of a card that showed less; NULL where it shows nothing new.
    Column("grew_at", UtcTime),
    Index("ix_card_faces_request", "request_id"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)

handled_callbacks = Table(
    "handled_callbacks",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("callback_id", Text, primary_key=True),
    Column("handled_at", UtcTime, nullable=False),
    Index("ix_handled_callbacks_handled", "handled_at"),
)
