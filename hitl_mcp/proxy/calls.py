"""A call of the upstream server's tool as an action, and the approved action as the call to forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import JsonValue

from hitl_contract.action import Action, canonical_action, parse_action
from hitl_contract.action_operations import Generic, ToolCall
from hitl_contract.canonical import parse_strict_json
from hitl_mcp.errors import HitlError
from hitl_mcp.interface.edit_feedback import wanted_instead

_OPERATION: Final = "mcp.tools/call"
_PLAIN: Final = frozenset({"name", "arguments", "_meta"})


class CallRefused(HitlError):
    """A call that cannot be asked about, or an approval of it that cannot be carried out exactly."""


@dataclass(frozen=True, slots=True)
class HeldCall:
    """The parameters of one `tools/call`. `more` is what came besides name, arguments and `_meta`."""

    server: str
    tool: str
    arguments: dict[str, Any]
    more: dict[str, Any]
    params: Mapping[str, Any]

    @classmethod
    def of(cls, server: str, params: Mapping[str, Any] | None) -> HeldCall:
        """Raises CallRefused: the name is no text, or the arguments are no object."""
        given = params or {}
        tool, arguments = given.get("name"), given.get("arguments", {})
        if not isinstance(tool, str) or not tool or not isinstance(arguments, dict):
            raise CallRefused("A call needs the tool's name as text and its arguments as an object.")
        more = {name: value for name, value in given.items() if name not in _PLAIN}
        return cls(server, tool, cast("dict[str, Any]", arguments), more, given)

    @property
    def meta(self) -> dict[str, Any]:
        meta = self.params.get("_meta")
        return cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}

    @property
    def progress_token(self) -> str | int | None:
        token = self.meta.get("progressToken")
        return token if isinstance(token, str | int) and not isinstance(token, bool) else None

    @property
    def action(self) -> Action:
        """What people approve: a `tool_call`, or with `more` a `generic` that shows all of it.

        Raises:
            InvalidAction: it cannot be described exactly.
        """
        if not self.more:
            call = {"server": self.server, "tool": self.tool, "arguments": self.arguments}
            return parse_action({"type": "tool_call", **call})
        details = {"server": self.server, "tool": self.tool, "arguments": self.arguments, "more": self.more}
        return parse_action({"type": "generic", "operation": _OPERATION, "details": details})

    def approved_params(self, approved: Action) -> dict[str, Any]:
        """The parameters to forward: exactly what was approved, and this call's own `_meta`.

        Raises:
            CallRefused: the approver's edit is no call of this tool; with what the approver wants.
        """
        match approved:
            case ToolCall(server=self.server, tool=self.tool) if not self.more:
                fields = {"arguments": _document(approved)["arguments"]}
            case Generic(operation=operation) if self.more and operation == _OPERATION:
                details = _document(approved)["details"]
                if details.keys() != {"server", "tool", "arguments", "more"} or (
                    (details["server"], details["tool"]) != (self.server, self.tool)
                    or not isinstance(details["arguments"], dict)
                    or not isinstance(details["more"], dict)
                    or _PLAIN & details["more"].keys()
                ):
                    raise _not_this_tool(approved)
                fields = {"arguments": details["arguments"], **details["more"]}
            case _:
                raise _not_this_tool(approved)
        if "arguments" not in self.params and not fields["arguments"]:
            del fields["arguments"]
        own = {"_meta": self.params["_meta"]} if "_meta" in self.params else {}
        return {"name": self.tool, **fields, **own}


def changed_definition(server: str, tool: str, before: str, after: str, definition: JsonValue) -> Action:
    """What people approve before a tool that was described differently is called again.

    Raises:
        InvalidAction: the new definition cannot be shown exactly.
    """
    details = {"server": server, "tool": tool, "before": before, "after": after, "definition": definition}
    return parse_action({"type": "generic", "operation": "mcp.tool-definition-changed", "details": details})


def _document(action: Action) -> dict[str, Any]:
    return cast("dict[str, Any]", parse_strict_json(canonical_action(action)))


def _not_this_tool(approved: Action) -> CallRefused:
    return CallRefused(
        f"The approver's edit is not a call of this tool, so nothing was called. {wanted_instead(approved)}"
    )
