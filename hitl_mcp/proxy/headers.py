"""The HTTP headers that go with a forwarded message; over stdio nobody looks at them."""

from __future__ import annotations

from typing import Any, cast

from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    find_invalid_x_mcp_header,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp.shared.message import ClientMessageMetadata
from mcp_types import PROTOCOL_VERSION_META_KEY, JSONRPCMessage, JSONRPCRequest

from hitl_mcp.proxy.definitions import Definitions


class HeaderStamp:
    """Repeats in headers what a message says, as both protocol eras want it over HTTP."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._version: str | None = None

    def negotiated(self, version: object) -> None:
        """The handshake settled on this revision."""
        if isinstance(version, str):
            self._version = version

    def metadata(self, message: JSONRPCMessage) -> ClientMessageMetadata | None:
        """What the transport should send besides; None where there is nothing to say."""
        if not isinstance(message, JSONRPCRequest):
            return None
        params = message.params or {}
        meta = params.get("_meta")
        version = (
            cast("dict[str, Any]", meta).get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
        )
        if not isinstance(version, str):
            handshake = {MCP_PROTOCOL_VERSION_HEADER: self._version} if self._version else {}
            return ClientMessageMetadata(headers=handshake)
        headers = {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: message.method}
        name_key = NAME_BEARING_METHODS.get(message.method)
        name = params.get(name_key) if name_key is not None else None
        if isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)
            if message.method == "tools/call":
                headers.update(self._parameters(name, params.get("arguments")))
        return ClientMessageMetadata(headers=headers)

    def _parameters(self, tool: str, arguments: object) -> dict[str, str]:
        schema = (self._definitions.get(tool) or {}).get("inputSchema")
        if not isinstance(arguments, dict) or find_invalid_x_mcp_header(schema) is not None:
            return {}
        return mcp_param_headers(x_mcp_header_map(schema), cast("dict[str, Any]", arguments))
