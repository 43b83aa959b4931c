"""Which addresses a program may reach: those of the public internet, whatever a name resolves to."""

from __future__ import annotations

import ipaddress
import socket

_IPv6 = ipaddress.IPv6Address
_CARRIES_IPV4 = (
    # NAT64 (RFC 6052, RFC 8215), and the deprecated IPv4-compatible form: the last 32 bits.
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("::/96"),
)
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        # What Pythons of different age know of the registries differs.
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        *("100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/9", "ff00::/8"),
        # A cloud's services for its machines, at an address that is public by its form.
        "168.63.129.16/32",
    )
)


def may_be_reached(address: str) -> bool:
    """Whether an address is one of the public internet and of another machine.

    1. It is an address, without a scope.
    2. It is globally reachable by the registries of special purposes (RFC 6890): neither private, loopback,
       link-local, shared, reserved, multicast nor unspecified.
    3. An IPv4 address that it carries inside (mapped, NAT64) is held to the same.
    4. No interface of this machine has it.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False  # 1
    if isinstance(found, _IPv6) and found.scope_id is not None:
        return False  # 1
    return _is_public(found) and not _is_ours(found)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False  # 2
    if any(address in network for network in _NOT_PUBLIC):
        return False  # 2
    return not isinstance(address, _IPv6) or all(_is_public(inner) for inner in _carried(address))  # 3


def _carried(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    found: list[ipaddress.IPv4Address] = []
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if any(address in network for network in _CARRIES_IPV4):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(found)


def _is_ours(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """4: only an address of this machine can be bound."""
    family = socket.AF_INET6 if isinstance(address, _IPv6) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
