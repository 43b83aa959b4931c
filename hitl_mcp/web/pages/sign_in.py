"""Signing in and out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hitl_mcp.errors import SignInRefused, TooManyAttempts
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.web.pages.guard import Guard, SignInNeeded, require_same_token
from hitl_mcp.web.pages.rendering import Pages
from hitl_mcp.web.pages.security import read_form, require_same_origin, safe_next


@dataclass(frozen=True)
class SignInPages:
    guard: Guard
    pages: Pages
    people: PeopleDirectory

    async def show(self, request: Request) -> Response:
        """GET /sign-in"""
        target = safe_next(request.query_params.get("next"))
        try:
            await self.guard.reader(request)
        except SignInNeeded:
            if request.headers.get("sec-fetch-site") == "cross-site":
                # A link in a chat: the strict cookie stays behind on this step and comes along on the next.
                return self.pages.response("continue.html", target=target)
            return self._form(request, target)
        return RedirectResponse(target, 303)

    async def submit(self, request: Request) -> Response:
        """POST /sign-in"""
        require_same_origin(request, self.guard.public_url)
        form = await read_form(request)
        target = safe_next(form.get("next"))
        require_same_token(self.guard.cookies.sign_in(request), form)
        address = request.client.host if request.client else None
        name = form.get("person", "").strip()
        try:
            person = await self.people.authenticate(name, form.get("password", ""), address=address)
        except SignInRefused:
            return self._form(
                request,
                target,
                name=name,
                problem="The name and the password do not fit together.",
                status_code=401,
            )
        except TooManyAttempts as error:
            response = self._form(request, target, name=name, problem=str(error), status_code=429)
            response.headers["Retry-After"] = str(error.retry_after_seconds)
            return response
        previous = self.guard.cookies.session(request)
        if previous:
            await self.guard.sessions.close(previous)
        opened = await self.guard.sessions.open(person, address=address)
        response = RedirectResponse(target, 303)
        self.guard.cookies.clear(response)
        self.guard.cookies.set_session(response, opened.token)
        return response

    async def leave(self, request: Request) -> Response:
        """POST /sign-out"""
        await self.guard.writer(request)
        token = self.guard.cookies.session(request)
        if token:
            await self.guard.sessions.close(token)
        response = RedirectResponse("/sign-in", 303)
        self.guard.cookies.clear(response)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response

    def _form(
        self,
        request: Request,
        target: str,
        *,
        name: str = "",
        problem: str | None = None,
        status_code: int = 200,
    ) -> Response:
        token = self.guard.cookies.sign_in(request) or secrets.token_urlsafe(32)
        response = self.pages.response(
            "sign_in.html",
            status_code=status_code,
            csrf_token=token,
            target=target,
            name=name[:100],
            problem=problem,
        )
        self.guard.cookies.set_sign_in(response, token)
        return response
