"""What the proxy decides by: names, addresses, the first message of TLS."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor_mcp.network.addresses import may_be_reached
from executor_mcp.network.client_hello import ClientHello, NotTls, parse_client_hello
from executor_mcp.network.egress import Egress, EgressPolicy
from executor_mcp.network.errors import EgressRefused, Verdict
from tests.network.support import real_hello


def made_hello(*extensions: tuple[int, bytes], record_bytes: int = 16384) -> bytes:
    body = b"".join(struct.pack(">HH", kind, len(content)) + content for kind, content in extensions)
    hello = b"\x03\x03" + b"r" * 32 + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    hello += struct.pack(">H", len(body)) + body
    message = b"\x01" + len(hello).to_bytes(3, "big") + hello
    pieces = [message[start : start + record_bytes] for start in range(0, len(message), record_bytes)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece for piece in pieces)


def server_name(*names: bytes, kind: int = 0) -> tuple[int, bytes]:
    entries = b"".join(bytes([kind]) + struct.pack(">H", len(name)) + name for name in names)
    return 0, struct.pack(">H", len(entries)) + entries


def test_the_name_in_a_client_hello_is_read_whole_and_only_when_all_of_it_is_there() -> None:
    hello = real_hello("api.example.com")
    assert parse_client_hello(hello) == ClientHello("api.example.com", hidden=False)
    assert parse_client_hello(hello + b"more") == ClientHello("api.example.com", hidden=False)
    assert {parse_client_hello(hello[:size]) for size in range(len(hello))} == {None}
    assert parse_client_hello(real_hello(None)) == ClientHello(None, hidden=False)
    spread = made_hello(server_name(b"a.example"), (10, b"\x00\x02\x00\x1d"), record_bytes=7)
    assert parse_client_hello(spread) == ClientHello("a.example", hidden=False)
    assert parse_client_hello(made_hello(server_name(b"a.example"), (0xFE0D, b"x"))) == ClientHello(
        "a.example", hidden=True
    )


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-x",
        b"\x16\x02\x00\x00\x10",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        made_hello(server_name(b"a.example", b"b.example")),
        made_hello(server_name(b"a.example"), server_name(b"b.example")),
        made_hello(server_name(b"a.example", kind=1)),
        made_hello(server_name("ä.example".encode())),
        made_hello((0, b"\x00\xff")),
    ],
)
def test_what_is_no_single_client_hello_is_refused(data: bytes) -> None:
    with pytest.raises(NotTls):
        parse_client_hello(data)


@given(st.binary(max_size=200), st.integers(0, 600), st.integers(0, 255))
def test_no_bytes_break_the_reader(data: bytes, place: int, value: int) -> None:
    hello = bytearray(made_hello(server_name(b"a.example"), (16, b"\x00\x03\x02h2")) + data)
    hello[place % len(hello)] = value
    for attempt in (data, bytes(hello)):
        try:
            found = parse_client_hello(attempt)
        except NotTls:
            continue
        assert found is None or isinstance(found, ClientHello)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("93.184.216.34", True),
        ("8.8.8.8", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("127.1.2.3", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.31.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("100.100.100.200", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("192.0.0.192", False),
        ("198.18.0.1", False),
        ("203.0.113.9", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("2606:2800:220:1::1%1", False),
        ("fd00:ec2::254", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2002:0a00:0001::1", False),
        ("2001:0:a9fe:a9fe::1", False),
        ("api.example.com", False),
        ("127.1", False),
        ("0x7f000001", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_public_internet_may_be_reached(address: str, allowed: bool) -> None:
    assert may_be_reached(address) is allowed


class Edge:
    """Counts what is asked of it; each look-up of a name gives the next answer."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []

    def resolve(self, name: str, port: int) -> list[str]:
        self.resolved.append(name)
        if not self.answers:
            raise socket.gaierror("no such name")
        return self.answers.pop(0)

    def connect(self, address: str, port: int) -> socket.socket:
        self.connected.append((address, port))
        if address.endswith(".1"):
            raise ConnectionRefusedError
        return socket.socket()

    def egress(self) -> Egress:
        policy = EgressPolicy(frozenset({"api.example.com"}), frozenset({443}))
        return Egress(policy, resolve=self.resolve, connect=self.connect)


def verdict_of(act: object) -> Verdict:
    with pytest.raises(EgressRefused) as caught:
        act()  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
    return caught.value.verdict


def test_a_name_is_resolved_once_checked_and_connected_to_by_the_address_that_was_checked() -> None:
    edge = Edge(["8.8.8.1", "93.184.216.34"], ["127.0.0.1"])
    egress = edge.egress()
    assert egress.check_name("API.example.com.", 443) == "api.example.com"
    reached = egress.reach("api.example.com", 443)
    reached.connection.close()
    assert reached.address == "93.184.216.34"
    assert edge.resolved == ["api.example.com"]
    assert edge.connected == [("8.8.8.1", 443), ("93.184.216.34", 443)]
    # It has come to mean another address: rebinding.
    assert verdict_of(lambda: egress.reach("api.example.com", 443)) is Verdict.ADDRESS_NOT_ALLOWED
    assert verdict_of(lambda: egress.reach("api.example.com", 443)) is Verdict.NAME_NOT_FOUND
    assert len(edge.connected) == 2

    assert (
        verdict_of(lambda: Edge(["8.8.8.8", "10.0.0.1"]).egress().reach("x", 443))
        is Verdict.ADDRESS_NOT_ALLOWED
    )
    assert verdict_of(lambda: Edge([]).egress().reach("x", 443)) is Verdict.NAME_NOT_FOUND
    assert verdict_of(lambda: Edge(["8.8.8.1"]).egress().reach("x", 443)) is Verdict.NOT_REACHED


def test_names_ports_and_tls_names_that_were_not_approved_are_never_looked_up() -> None:
    edge = Edge()
    egress = edge.egress()
    for host in (
        "example.com",
        "x.api.example.com",
        "api.example.com.evil.org",
        "api.example.com..",
        "93.184.216.34",
        "[::1]",
        "api.example.com\x00",
        "аpi.example.com",
        "",
    ):
        assert verdict_of(lambda host=host: egress.check_name(host, 443)) is Verdict.NAME_NOT_ALLOWED
    for port in (80, 22, 0, 65536, -1):
        assert (
            verdict_of(lambda port=port: egress.check_name("api.example.com", port))
            is Verdict.PORT_NOT_ALLOWED
        )
    for hello, verdict in (
        (ClientHello("evil.org", hidden=False), Verdict.TLS_NAME_DIFFERS),
        (ClientHello("api.example.com.", hidden=False), Verdict.TLS_NAME_DIFFERS),
        (ClientHello(None, hidden=False), Verdict.TLS_NAME_DIFFERS),
        (ClientHello("api.example.com", hidden=True), Verdict.TLS_NAME_HIDDEN),
    ):
        assert verdict_of(lambda hello=hello: egress.check_hello("api.example.com", hello)) is verdict
    egress.check_hello("api.example.com", ClientHello("API.example.com", hidden=False))
    assert (edge.resolved, edge.connected) == ([], [])
