"""What one execution may reach, and the only way there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from executor_mcp.network.addresses import may_be_reached
from executor_mcp.network.client_hello import ClientHello
from executor_mcp.network.errors import EgressRefused, Verdict

CONNECT_SECONDS = 10.0
_ADDRESSES_TRIED = 4

Resolve = Callable[[str, int], list[str]]
Connect = Callable[[str, int], socket.socket]


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Names, in lower case and exactly, and ports."""

    domains: frozenset[str]
    ports: frozenset[int]


@dataclass(frozen=True, slots=True)
class Reached:
    """A connection to the very address that was checked."""

    connection: socket.socket
    address: str


def resolve(name: str, port: int) -> list[str]:
    """The addresses of a name, by this machine's resolver. Raises OSError."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def connect(address: str, port: int) -> socket.socket:
    """To an address, which is not looked up. Raises OSError."""
    return socket.create_connection((address, port), timeout=CONNECT_SECONDS)


class Egress:
    """Blocking; each connection asks in a thread of its own.

    1. The name is one of those that were approved, exactly; an address is none.
    2. The port is one of those that are allowed.
    3. A tunnel begins with TLS whose server name is that name, in the open.
    4. Only then the name is resolved, once, here: a name that is not approved is never asked for.
    5. Each address that it resolves to is one of the public internet.
    6. The connection is made to one of these addresses, and not by name again.
    """

    def __init__(
        self, policy: EgressPolicy, *, resolve: Resolve = resolve, connect: Connect = connect
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._connect = connect

    def check_name(self, host: str, port: int) -> str:
        """The name as it was approved. Raises EgressRefused (1, 2)."""
        name = host.lower().removesuffix(".")
        if name not in self._policy.domains:
            raise EgressRefused(Verdict.NAME_NOT_ALLOWED, "this name was not approved for this program")
        if port not in self._policy.ports:
            allowed = ", ".join(str(one) for one in sorted(self._policy.ports))
            raise EgressRefused(Verdict.PORT_NOT_ALLOWED, f"port {port} is not allowed; allowed: {allowed}")
        return name

    def check_hello(self, name: str, hello: ClientHello) -> None:
        """Raises EgressRefused (3)."""
        if hello.hidden:
            raise EgressRefused(Verdict.TLS_NAME_HIDDEN, "an encrypted client hello hides the name")
        if hello.server_name is None or hello.server_name.lower() != name:
            raise EgressRefused(Verdict.TLS_NAME_DIFFERS, "the TLS server name is not that of the request")

    def reach(self, name: str, port: int) -> Reached:
        """Raises EgressRefused (4 to 6)."""
        try:
            addresses = self._resolve(name, port)
        except (OSError, UnicodeError) as error:
            raise EgressRefused(Verdict.NAME_NOT_FOUND, "the name cannot be resolved") from error
        if not addresses:
            raise EgressRefused(Verdict.NAME_NOT_FOUND, "the name has no address")
        if not all(may_be_reached(address) for address in addresses):
            raise EgressRefused(
                Verdict.ADDRESS_NOT_ALLOWED,
                "the name resolves to an address that is not of the public internet",
            )
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return Reached(self._connect(address, port), address)
            except OSError:
                continue
        raise EgressRefused(Verdict.NOT_REACHED, "no address of the name can be connected to")
