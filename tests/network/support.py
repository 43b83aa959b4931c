"""A small internet on this machine: an authority, servers with and without TLS, and the edge to them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from executor_mcp.network.networked import NetworkRules

EDGE = Path(__file__).with_name("edge_proxy.py")
PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "2606:2800:220:1::1"
SIZE = 3_000_000


def _certificate(
    name: str, issuer: x509.Name | None, signer: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName("*.example.com")])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def make_authority(directory: Path) -> tuple[str, ssl.SSLContext]:
    """The authority's certificate (PEM) and a server's context for names under example.com."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("Tests", None, ca_key, ca_key)
    server = _certificate("api.example.com", authority.subject, ca_key, key)
    pem = directory / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + server.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return authority.public_bytes(serialization.Encoding.PEM).decode(), context


def real_hello(name: str | None) -> bytes:
    """What a TLS client says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(into, out, server_hostname=name).do_handshake()
    return out.read()


@dataclass
class Internet:
    """`edge` is what `edge_proxy` is told; `requests` what servers were asked: first line, Host, size."""

    edge: dict[str, Any]
    rules: NetworkRules
    requests: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])


@asynccontextmanager
async def internet(directory: Path) -> AsyncIterator[Internet]:
    """`api.example.com` and `other.example.com` answer on 80 and 443; `inside.example.com` is not public."""
    authority, context = await asyncio.to_thread(make_authority, directory)
    requests: list[tuple[str, str, int]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            requests.append((head.split("\r\n")[0], headers["host"], len(body)))
            content = b"x" * SIZE if "/large" in head else b"hello"
            length = f"Content-Length: {len(content)}\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n".encode() + content)
            await writer.drain()
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    secure = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    ports = {80: plain.sockets[0].getsockname()[1], 443: secure.sockets[0].getsockname()[1]}
    edge = {
        "names": {
            "api.example.com": [PUBLIC],
            "other.example.com": [OTHER_PUBLIC],
            "inside.example.com": ["10.0.0.7"],
            "mixed.example.com": [PUBLIC, "127.0.0.1"],
            "metadata.example.com": ["169.254.169.254"],
        },
        "places": {f"{address}:{port}": ports[port] for address in (PUBLIC, OTHER_PUBLIC) for port in ports},
    }
    rules = NetworkRules(
        certificates=authority, proxy_program=(sys.executable, "-P", str(EDGE), json.dumps(edge))
    )
    try:
        yield Internet(edge, rules, requests)
    finally:
        for server in (plain, secure):
            server.close()
            await server.wait_closed()
