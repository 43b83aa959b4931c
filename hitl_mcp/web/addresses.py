"""Whose address a request comes from, for throttling and evidence.

`X-Forwarded-For` is what the caller says about itself, so it is read only from a proxy that the operator
trusts, and then from the right: the first address that is not a trusted proxy's is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

Network = IPv4Network | IPv6Network


class ClientAddress:
    """ASGI middleware that puts the caller's own address into the scope behind trusted proxies."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: Sequence[Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if self._trusted and client and _parsed(client[0]) is not None:
            forwarded = Headers(scope=scope).getlist("x-forwarded-for")
            address = caller_of(client[0], forwarded, self._trusted)
            scope = {**scope, "client": (address, client[1] if address == client[0] else 0)}
        await self._app(scope, receive, send)


def caller_of(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address of the caller behind `peer`, given its X-Forwarded-For headers."""
    caller = peer
    claims = [claim.strip() for header in forwarded for claim in header.split(",")]
    while claims and _is_trusted(caller, trusted):
        claim = _parsed(claims.pop())
        if claim is None:
            break
        caller = str(claim)
    return caller


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
