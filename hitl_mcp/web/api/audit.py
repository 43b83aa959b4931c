"""/api/v1/audit: the audit log, for people with the admin role."""

# No `from __future__ import annotations`: FastAPI reads these annotations at run time.
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_contract.audit_chain import entry_to_json
from hitl_mcp.web.api.models import AuditArguments, AuditPage
from hitl_mcp.web.bodies import query_arguments
from hitl_mcp.web.parts import WebParts, require_admin


def audit_routes(parts: WebParts) -> APIRouter:
    """The route on these parts."""
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

    @router.get("", response_model=AuditPage)
    async def show(request: Request) -> Response:
        """Entries of the log, oldest first, page by page."""
        require_admin(request)
        query = query_arguments(request, AuditArguments, consequence="Nothing was read, because:")
        entries = await parts.audit.page(query.after, query.limit)
        return JSONResponse(
            {
                "entries": [entry_to_json(entry) for entry in entries],
                "next_after": entries[-1].sequence if len(entries) == query.limit else None,
            },
            headers={"Cache-Control": "no-store"},
        )

    return router
