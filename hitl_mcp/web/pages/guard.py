"""Who is looking at a page, and whether a form comes from a page that was shown to them."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

from hitl_mcp.identity.sessions import SessionRecord, Sessions
from hitl_mcp.web.pages.cookies import Cookies
from hitl_mcp.web.pages.security import MAX_FORM_BYTES, read_form, require_same_origin


class SignInNeeded(Exception):
    """The page needs a session, and there is none."""


@dataclass(frozen=True)
class Guard:
    """Checks sessions and forms for every page."""

    sessions: Sessions
    cookies: Cookies
    public_url: str

    async def reader(self, request: Request) -> SessionRecord:
        """
        Raises:
            SignInNeeded: no session, or one that is over.
        """
        token = self.cookies.session(request)
        session = await self.sessions.resolve(token) if token else None
        if session is None:
            raise SignInNeeded
        return session

    async def writer(
        self, request: Request, *, max_bytes: int = MAX_FORM_BYTES
    ) -> tuple[SessionRecord, Mapping[str, str]]:
        """The reader and the form that they sent.

        1. The form was sent by a page of this site.
        2. There is a session.
        3. The form holds that session's CSRF token.

        Raises:
            SignInNeeded: no session, or one that is over.
            HTTPException: the form was sent from elsewhere or cannot be read.
        """
        require_same_origin(request, self.public_url)  # 1
        session = await self.reader(request)  # 2
        form = await read_form(request, max_bytes=max_bytes)
        require_same_token(session.csrf_token, form)  # 3
        return session, form


def require_same_token(expected: str | None, form: Mapping[str, str]) -> None:
    """
    Raises:
        HTTPException: 403.
    """
    given = form.get("csrf_token", "")
    if not expected or not hmac.compare_digest(expected.encode(), given.encode()):
        raise HTTPException(
            403,
            "This form is too old or was not sent from this page. Nothing was changed: open the page again.",
        )
