"""A command that takes a key's id: one in 64 begins with a dash, and is no option all the same."""

import re
from typing import Any

from typer.core import TyperCommand

# The thumbprint of RFC 7638 in base64url: 32 bytes.
_LOOKS_LIKE_AN_OPTION = re.compile(r"-[A-Za-z0-9_-]{42}")


class KeyCommand(TyperCommand):
    """Takes the id wherever it stands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        key_ids = [each for each in args if _LOOKS_LIKE_AN_OPTION.fullmatch(each)]
        if key_ids and "--" not in args:
            args = [*(each for each in args if each not in key_ids), "--", *key_ids]
        return super().parse_args(ctx, args)
