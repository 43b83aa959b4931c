"""/api/v1/session: people sign in with their password and get a bearer token."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_mcp.web.api.models import PersonAnswer, SessionAnswer, SessionArguments
from hitl_mcp.web.authentication import TOKEN_SCOPE_KEY
from hitl_mcp.web.bodies import body_arguments, body_schema
from hitl_mcp.web.parts import WebParts, require_person


def session_routes(parts: WebParts) -> APIRouter:
    """The routes on these parts."""
    router = APIRouter(prefix="/api/v1/session", tags=["session"])

    @router.post("", response_model=SessionAnswer, openapi_extra=body_schema(SessionArguments))
    async def sign_in(request: Request) -> Response:
        """Open a session. Wrong attempts are throttled per person and address."""
        body = await body_arguments(request, SessionArguments, consequence="Nobody was signed in, because:")
        address = request.client.host if request.client else None
        person = await parts.people.authenticate(body.person, body.password, address=address)
        opened = await parts.sessions.open(person, address=address)
        answer = SessionAnswer(
            access_token=opened.token,
            expires_in=parts.session_seconds,
            expires_at=opened.expires_at,
            person=person.person_id,
            roles=person.roles,
        )
        return JSONResponse(answer.model_dump(mode="json"), headers={"Cache-Control": "no-store"})

    @router.get("", response_model=PersonAnswer)
    async def show(request: Request) -> Response:
        """Whose session this is."""
        session = require_person(request).session
        answer = PersonAnswer(
            person=session.person.person_id,
            display_name=session.person.display_name,
            roles=session.person.roles,
            expires_at=session.expires_at,
        )
        return JSONResponse(answer.model_dump(mode="json"), headers={"Cache-Control": "no-store"})

    @router.delete("", status_code=204, response_class=Response)
    async def sign_out(request: Request) -> Response:
        """End this session."""
        require_person(request)
        await parts.sessions.close(request.scope[TOKEN_SCOPE_KEY])
        return Response(status_code=204)

    return router
