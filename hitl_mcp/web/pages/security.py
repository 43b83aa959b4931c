"""What protects the pages from other sites and from the network: headers, origins, redirects, forms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FORM_BYTES: Final = 64 * 1024
MAX_FORM_FIELDS: Final = 64
_CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_PLAIN_PATH: Final = re.compile(r"/(?:[A-Za-z0-9_\-]+(?:/[A-Za-z0-9_\-]+)*)?")


class SecurityHeaders:
    """Adds the pages' headers to every response that passes, errors included."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        }
        if https:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                # What people decide on must never come out of a cache.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


def safe_next(value: str | None) -> str:
    """The path to go to after signing in: one of this site, spelled plainly, or the inbox."""
    if value is not None and len(value) <= 200 and _PLAIN_PATH.fullmatch(value):
        return value
    return "/"


def require_same_origin(request: Request, public_url: str) -> None:
    """Refuses a form that another site sent.

    Raises:
        HTTPException: 403.
    """
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None and fetch_site not in {"same-origin", "none"}:
        raise HTTPException(403, "This form was sent from another site. Nothing was changed.")
    origin = request.headers.get("origin")
    if origin is None:
        return
    own = {origin_of(public_url), f"{request.url.scheme}://{request.headers.get('host', '')}"}
    if origin not in own:
        raise HTTPException(403, "This form was sent from another site. Nothing was changed.")


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def read_form(request: Request, *, max_bytes: int = MAX_FORM_BYTES) -> Mapping[str, str]:
    """The fields of a form, each at most once.

    Raises:
        HTTPException: 400, 413 or 415 for a body that no form of these pages sends.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise HTTPException(415, "Only forms are accepted here (application/x-www-form-urlencoded).")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"The form is larger than {max_bytes} bytes.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FORM_FIELDS,
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise HTTPException(400, "The form cannot be read: it must be URL-encoded UTF-8.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise HTTPException(400, "The form has a field twice.")
    return fields
