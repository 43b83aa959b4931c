"""The two cookies of the pages: the session, and the token that ties a sign-in form to this browser."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response


class Cookies:
    """Reads and writes them. On https their names carry `__Host-`, so that no sibling host can set them."""

    def __init__(self, *, https: bool) -> None:
        self._https = https
        prefix = "__Host-" if https else ""
        self._session = f"{prefix}hitl_session"
        self._sign_in = f"{prefix}hitl_sign_in"

    def session(self, request: Request) -> str | None:
        return request.cookies.get(self._session)

    def sign_in(self, request: Request) -> str | None:
        return request.cookies.get(self._sign_in)

    def set_session(self, response: Response, token: str) -> None:
        self._set(response, self._session, token)

    def set_sign_in(self, response: Response, token: str) -> None:
        self._set(response, self._sign_in, token)

    def clear(self, response: Response) -> None:
        for name in (self._session, self._sign_in):
            response.delete_cookie(name, path="/", secure=self._https, httponly=True, samesite="strict")

    def _set(self, response: Response, name: str, value: str) -> None:
        # Without a lifetime the browser forgets it when it is closed; the server ends it earlier if it must.
        response.set_cookie(name, value, path="/", secure=self._https, httponly=True, samesite="strict")
