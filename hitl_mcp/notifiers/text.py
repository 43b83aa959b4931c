"""Lengths as chat services count them, and cuts that never split a character."""

from __future__ import annotations

from hitl_contract.display import Display, Excerpt, excerpt


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units: what Telegram counts, and never less than what Slack counts."""
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)


def cut(text: str, limit: int) -> str:
    """The longest prefix of `text` of at most `limit` UTF-16 code units."""
    if utf16_length(text) <= limit:
        return text
    units = 0
    for index, character in enumerate(text):
        units += 2 if ord(character) > 0xFFFF else 1
        if units > limit:
            return text[:index]
    return text


def shortened(text: str, limit: int) -> str:
    """`text`, or its beginning with an ellipsis, within `limit` code units. For labels, never for actions."""
    return text if utf16_length(text) <= limit else cut(text, limit - 1) + "…"


def excerpt_within(display: Display, limit: int) -> Excerpt:
    """The excerpt of an action's display that fits `limit` UTF-16 code units."""
    characters = min(len(display.text), max(limit, 0))
    while True:
        piece = excerpt(display, characters)
        if characters == 0:
            return piece
        excess = utf16_length(piece.text) - limit
        if excess <= 0:
            return piece
        # Each character removed frees one or two units, so half of the excess is always safe to remove.
        characters = max(0, characters - max(1, excess // 2))


def pieces_of(text: str, limit: int) -> list[str]:
    """`text` in consecutive pieces of at most `limit` code units, cut after a line end where there is one."""
    pieces: list[str] = []
    rest = text
    while utf16_length(rest) > limit:
        piece = cut(rest, limit)
        line_end = piece.rfind("\n")
        if line_end > 0:
            piece = piece[: line_end + 1]
        pieces.append(piece)
        rest = rest[len(piece) :]
    if rest:
        pieces.append(rest)
    return pieces
