"""The name in the first message of a TLS client (RFC 8446 section 4.1.2, RFC 6066 section 3)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HELLO_BYTES = 65536
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
_ENCRYPTED_CLIENT_HELLO = 0xFE0D
_FIXED = 2 + 32


class NotTls(Exception):
    """These bytes begin no TLS connection."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`server_name` is None where the client names none; `hidden` where it may name another in secret."""

    server_name: str | None
    hidden: bool


def parse_client_hello(data: bytes) -> ClientHello | None:
    """What the bytes say so far; None while there are too few of them.

    Raises:
        NotTls: they are no client hello, are malformed, or name more than one server.
    """
    message = _handshake(data)
    if message is None:
        return None
    reader = _Reader(message)
    reader.skip(_FIXED)
    reader.take(reader.number(1))
    reader.take(reader.number(2))
    reader.take(reader.number(1))
    if reader.at_end:
        return ClientHello(None, hidden=False)
    extensions = _Reader(reader.take(reader.number(2)))
    if not reader.at_end:
        raise NotTls("bytes behind the extensions")
    seen: set[int] = set()
    name: str | None = None
    while not extensions.at_end:
        kind = extensions.number(2)
        body = extensions.take(extensions.number(2))
        if kind in seen:
            raise NotTls("an extension twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _host_name(body)
    return ClientHello(name, hidden=_ENCRYPTED_CLIENT_HELLO in seen)


def _handshake(data: bytes) -> bytes | None:
    """The first handshake message, which may be spread over several records."""
    message = bytearray()
    place = 0
    while True:
        header = data[place : place + 5]
        if (header[:1] and header[0] != _HANDSHAKE) or (header[1:2] and header[1] != 3):
            raise NotTls("no TLS record")
        if len(header) < 5:
            return None
        length = int.from_bytes(header[3:5], "big")
        if not 0 < length <= 16384:
            raise NotTls("a record of a wrong size")
        record = data[place + 5 : place + 5 + length]
        message += record
        if message and message[0] != _CLIENT_HELLO:
            raise NotTls("no client hello")
        if len(message) >= 4:
            whole = 4 + int.from_bytes(message[1:4], "big")
            if whole > MAX_HELLO_BYTES:
                raise NotTls("a client hello that is too large")
            if len(message) >= whole:
                return bytes(message[4:whole])
        if len(record) < length:
            return None
        place += 5 + length


def _host_name(body: bytes) -> str:
    names = _Reader(_Reader(body).rest_of_length(2))
    kind, name = names.number(1), names.take(names.number(2))
    if kind != _HOST_NAME or not names.at_end:
        raise NotTls("a server name of another kind, or several")
    try:
        return name.decode("ascii")
    except UnicodeDecodeError as error:
        raise NotTls("a server name that is not ASCII") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place == len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._place : self._place + count]
        if len(taken) != count:
            raise NotTls("cut short")
        self._place += count
        return taken

    def skip(self, count: int) -> None:
        self.take(count)

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def rest_of_length(self, count: int) -> bytes:
        """What follows a length that says all that is left."""
        body = self.take(self.number(count))
        if not self.at_end:
            raise NotTls("a wrong length")
        return body
