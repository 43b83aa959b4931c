"""``http_request``: where it goes, what it asks for and what it takes along."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from code_safety.findings import Place, Rule, Severity
from code_safety.hidden_characters import find_hidden_characters
from code_safety.inspection import Inspection
from code_safety.secret_patterns import find_secret, is_secret_name
from hitl_contract.action_operations import HttpRequest

_METADATA_HOSTS: Final = frozenset(
    [
        "metadata.google.internal",
        "metadata.goog",
        "metadata",
        "instance-data",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "metadata.azure.internal",
        "metadata.packet.net",
    ]
)
_LOCAL_SUFFIXES: Final = (
    ".local",
    ".internal",
    ".localhost",
    ".lan",
    ".home",
    ".corp",
    ".intranet",
    ".svc",
    ".cluster.local",
    ".home.arpa",
)
_WILDCARD_NAMES: Final = (".nip.io", ".sslip.io", ".xip.io", ".localtest.me", ".lvh.me")
_COLLECTORS: Final = re.compile(
    r"(?i)(?:^|\.)(?:webhook\.site|requestbin\.\w+|pipedream\.net|ngrok(?:-free)?\.\w+|burpcollaborator\.net|oast\.\w+|interact\.sh|pastebin\.com"
    r"|transfer\.sh|file\.io|0x0\.st|hastebin\.com|termbin\.com|beeceptor\.com|trycloudflare\.com|serveo\.net|requestcatcher\.com|canarytokens\.com)$"
)
_CREDENTIAL_HEADERS: Final = re.compile(
    r"(?i)^(?:proxy-)?authorization$|^cookie$|^x-(?:\w+-)*(?:key|token|secret)$|api-?key|^private-token$|^x-amz-security-token$"
)
_REWRITES_METHOD: Final = re.compile(r"(?i)^x-http-method(?:-override)?$|^x-method-override$")
_DELETING_PATH: Final = re.compile(
    r"(?i)(?:^|[/_.-])(?:delete|destroy|remove|drop|purge|wipe|terminate|revoke|shutdown|reset)(?:[/_.?-]|$)"
)
_MONEY_PATH: Final = re.compile(
    r"(?i)(?:^|[/_.-])(?:payments?|payouts?|transfers?|charges?|refunds?|withdraw\w*|orders?|purchase|checkout|invoices?)(?:[/_.?-]|$)"
)


def inspect_http_request(action: HttpRequest, inspection: Inspection) -> None:
    """Record what the method, the address and the headers say; the body is bound by its digest and not
    seen."""
    url_at = inspection.at("url")
    for finding in find_hidden_characters(action.url, where="url"):
        inspection.keep(finding)
    try:
        parts = urlsplit(action.url)
        host = (parts.hostname or "").rstrip(".").lower()
    except ValueError:
        url_at.add(Rule.HTTP_DISGUISED_ADDRESS)
        return
    _inspect_host(unquote(host), url_at)
    if "%" in host or not host.isascii() or "xn--" in host:
        url_at.add(Rule.HTTP_DISGUISED_ADDRESS)
    if parts.scheme == "http":
        url_at.add(Rule.HTTP_UNENCRYPTED)
    if parts.username or parts.password:
        url_at.add(Rule.HTTP_CREDENTIALS, severity=Severity.HIGH)
        # https://bank.example@evil.example goes to evil.example.
        if "." in (parts.username or ""):
            url_at.add(Rule.HTTP_DISGUISED_ADDRESS)
    secret_names = any(
        is_secret_name(name) and value for name, value in parse_qsl(parts.query, max_num_fields=None)[:1_000]
    )
    if secret_names or find_secret(action.url) is not None:
        url_at.add(
            Rule.HTTP_CREDENTIALS,
            severity=Severity.HIGH,
            detail="within the address, which is logged on its way",
        )
    if len(parts.query) > 1_000 or re.search(r"[A-Za-z0-9+/=_-]{200,}", unquote(parts.path + parts.query)):
        url_at.add(Rule.HTTP_UPLOADS, detail="much data within the address")
    method = _inspect_headers(action, inspection)
    _inspect_method(method, unquote(parts.path)[:8_192], action.body_sha256 is not None, inspection)


def _inspect_host(host: str, inspection: Inspection) -> None:
    if host in _METADATA_HOSTS:
        inspection.add(Rule.HTTP_METADATA_ADDRESS)
        return
    if _COLLECTORS.search(host):
        inspection.add(
            Rule.HTTP_UPLOADS, severity=Severity.HIGH, detail="a service that collects what is sent to it"
        )
    address = _address(host)
    if address is None:
        named_local = host == "localhost" or host.endswith(_LOCAL_SUFFIXES) or "." not in host
        if named_local:
            inspection.add(Rule.HTTP_PRIVATE_ADDRESS)
        if host.endswith(_WILDCARD_NAMES):
            inspection.add(Rule.HTTP_DISGUISED_ADDRESS)
        return
    plain, written = address
    mapped = plain.ipv4_mapped if isinstance(plain, ipaddress.IPv6Address) else None
    if str(mapped or plain) in _METADATA_HOSTS:
        inspection.add(Rule.HTTP_METADATA_ADDRESS)
    elif not (mapped or plain).is_global:
        inspection.add(Rule.HTTP_PRIVATE_ADDRESS)
    if not written or mapped is not None:
        inspection.add(Rule.HTTP_DISGUISED_ADDRESS)


def _address(host: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, bool] | None:
    """The numeric address that a host is, and whether it is written plainly (not as 2130706433 or 0x7f.1)."""
    try:
        return ipaddress.ip_address(host.split("%", maxsplit=1)[0]), True
    except ValueError:
        pass
    if not re.fullmatch(r"(?:0x[0-9a-f]{1,8}|\d{1,10})(?:\.(?:0x[0-9a-f]{1,8}|\d{1,10})){0,3}", host):
        return None
    numbers = [
        int(part, 16)
        if part.startswith("0x")
        else int(part, 8 if len(part) > 1 and part[0] == "0" and set(part) <= set("01234567") else 10)
        for part in host.split(".")
    ]
    total = 0
    for number in numbers[:-1]:
        total = total * 256 + number % 256
    total = total * 256 ** (5 - len(numbers)) + numbers[-1]
    return ipaddress.IPv4Address(total % 2**32), False


def _inspect_headers(action: HttpRequest, inspection: Inspection) -> str:
    """Record what headers carry; returns the method that the other side will see."""
    method: str = action.method
    for name, value in sorted(action.headers.items()):
        place = Place(f"headers.{name}")
        if _REWRITES_METHOD.match(name):
            method = value.strip().upper()
            inspection.add(Rule.HTTP_DISGUISED_ADDRESS, place, detail="the method that counts is in a header")
        if _CREDENTIAL_HEADERS.search(name) or find_secret(value) is not None:
            inspection.add(Rule.HTTP_CREDENTIALS, place)
        if name.lower() in {"host", "x-forwarded-host", "x-forwarded-for", "x-original-url", "x-rewrite-url"}:
            inspection.add(Rule.HTTP_DISGUISED_ADDRESS, place, Severity.MEDIUM)
        if name.lower() in {
            "metadata-flavor",
            "x-aws-ec2-metadata-token",
            "x-aws-ec2-metadata-token-ttl-seconds",
        }:
            inspection.add(Rule.HTTP_METADATA_ADDRESS, place)
    return method


def _inspect_method(method: str, path: str, has_body: bool, inspection: Inspection) -> None:
    at = inspection.at("method")
    if method == "DELETE":
        at.add(Rule.HTTP_DELETES)
    elif method in {"POST", "PUT", "PATCH"}:
        at.add(Rule.HTTP_CHANGES)
        if _DELETING_PATH.search(path):
            at.add(Rule.HTTP_DELETES)
        if _MONEY_PATH.search(path):
            at.add(Rule.TOOL_MOVES_MONEY, severity=Severity.HIGH, detail="by its address")
    elif method not in {"GET", "HEAD", "OPTIONS"}:
        at.add(Rule.NOT_ANALYSED)
    elif _DELETING_PATH.search(path):
        at.add(Rule.HTTP_DELETES, severity=Severity.MEDIUM, detail="by its address")
    if has_body:
        at.add(Rule.HTTP_UPLOADS)
