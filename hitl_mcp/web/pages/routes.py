"""The pages' addresses. Everything outside `/sign-in` and the static files needs a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hitl_mcp.approvals.errors import InvalidSubmission, RequestNotFound
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.attention.records import AttentionRecords
from hitl_mcp.grants.directory import GrantDirectory
from hitl_mcp.identity.absences import AbsenceDirectory
from hitl_mcp.identity.delegations import DelegationDirectory
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.sessions import Sessions
from hitl_mcp.web.pages.acts import ActPages
from hitl_mcp.web.pages.answering import PageParts
from hitl_mcp.web.pages.attention import AttentionPages
from hitl_mcp.web.pages.cookies import Cookies
from hitl_mcp.web.pages.deciders import Deciders
from hitl_mcp.web.pages.edit import EditPages
from hitl_mcp.web.pages.first_seen import FirstSeen
from hitl_mcp.web.pages.grants import GrantPages
from hitl_mcp.web.pages.guard import Guard, SignInNeeded
from hitl_mcp.web.pages.inbox import InboxPages
from hitl_mcp.web.pages.questions import QuestionPages
from hitl_mcp.web.pages.rendering import Pages
from hitl_mcp.web.pages.review import ReviewPages
from hitl_mcp.web.pages.security import SecurityHeaders, safe_next
from hitl_mcp.web.pages.several import SeveralPages
from hitl_mcp.web.pages.sign_in import SignInPages
from server_kit.clock import Clock

_Endpoint = Callable[[Request], Awaitable[Response]]
_MEDIA_TYPES: Final = {
    "pages.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}


def page_routes(
    *,
    service: ApprovalService,
    people: PeopleDirectory,
    delegations: DelegationDirectory,
    absences: AbsenceDirectory,
    grants: GrantDirectory,
    attention: AttentionRecords,
    sessions: Sessions,
    clock: Clock,
    public_url: str,
) -> list[BaseRoute]:
    """Every page as a route, to be put after the API's own.

    `public_url` is where people reach this server; https there makes cookies secure and sends HSTS.
    """
    https = urlsplit(public_url).scheme == "https"
    pages = Pages()
    guard = Guard(sessions, Cookies(https=https), public_url)
    sign_in = SignInPages(guard, pages, people)
    inbox = InboxPages(guard, pages, service, clock)
    parts = PageParts(guard, pages, service, FirstSeen(), clock)
    review, edit, several = (
        ReviewPages(parts, Deciders(service, people, absences, clock)),
        EditPages(parts),
        SeveralPages(parts),
    )
    acts, questions = ActPages(parts, delegations), QuestionPages(parts)
    allowed = GrantPages(parts, grants)
    table: list[tuple[str, str, _Endpoint]] = [
        ("GET", "/", inbox.show),
        ("GET", "/inbox", inbox.items),
        ("GET", "/sign-in", sign_in.show),
        ("POST", "/sign-in", sign_in.submit),
        ("POST", "/sign-out", sign_in.leave),
        ("GET", "/requests/{request_id}", review.show),
        ("GET", "/requests/{request_id}/wait", review.wait),
        ("POST", "/requests/{request_id}/approve", review.approve),
        ("POST", "/requests/{request_id}/deny", review.deny),
        ("POST", "/requests/{request_id}/approve-with-conditions", acts.approve_with_conditions),
        ("POST", "/requests/{request_id}/cancel", acts.cancel),
        ("POST", "/requests/{request_id}/revoke", acts.revoke),
        ("POST", "/requests/{request_id}/delegate", acts.delegate),
        ("GET", "/requests/{request_id}/edit", edit.show),
        ("POST", "/requests/{request_id}/edit", edit.preview),
        ("POST", "/requests/{request_id}/edit/confirm", edit.confirm),
        ("POST", "/requests/{request_id}/answer", questions.answer),
        ("POST", "/requests/{request_id}/ask", questions.ask),
        ("GET", "/requests/{request_id}/grant", allowed.show),
        ("POST", "/requests/{request_id}/grant", allowed.preview),
        ("POST", "/requests/{request_id}/grant/confirm", allowed.confirm),
        ("GET", "/grants", allowed.index),
        ("GET", "/grants/{grant_id}", allowed.one),
        ("POST", "/grants/{grant_id}/revoke", allowed.revoke),
        ("GET", "/several", several.show),
        ("POST", "/several", several.approve),
        ("GET", "/attention", AttentionPages(guard, pages, attention).show),
        ("GET", "/static/{name}", static_file),
    ]
    headers = [Middleware(SecurityHeaders, https=https)]
    return [
        Route(
            path,
            _with_answers(endpoint, pages),
            methods=[method],
            middleware=headers,
            include_in_schema=False,
        )
        for method, path, endpoint in table
    ]


async def static_file(request: Request) -> Response:
    """GET /static/{name}: one of the three files, by its exact name."""
    name: str = request.path_params["name"]
    media_type = _MEDIA_TYPES.get(name)
    if media_type is None:
        raise HTTPException(404, "There is no such file.")
    content = (files("hitl_mcp.web") / "static" / name).read_bytes()
    return Response(content, media_type=media_type, headers={"Cache-Control": "public, max-age=3600"})


def _with_answers(endpoint: _Endpoint, pages: Pages) -> _Endpoint:
    """Makes a page of everything that a handler refuses."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except SignInNeeded:
            return _sign_in_first(request)
        except RequestNotFound:
            return pages.message(
                "No such request",
                "There is no request of this id; it may be mistyped.",
                status_code=404,
            )
        except InvalidSubmission as error:
            return pages.message("Not decided", str(error), status_code=400)
        except HTTPException as error:
            return pages.message("That did not work", error.detail, status_code=error.status_code)

    return answered


def _sign_in_first(request: Request) -> Response:
    # A form's address cannot be opened afterwards, its page can.
    path = request.url.path if request.method == "GET" else request.url.path.rpartition("/")[0]
    target = safe_next(path)
    return RedirectResponse("/sign-in" if target == "/" else f"/sign-in?next={quote(target, safe='')}", 303)
