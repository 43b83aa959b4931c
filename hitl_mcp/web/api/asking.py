"""Taking in a request over REST, whatever its agent means to do with the approval."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.interface.arguments import parse_submission
from hitl_mcp.web.bodies import json_object
from hitl_mcp.web.parts import WebParts, require_agent

NOTHING_STORED: Final = "Nobody was asked and nothing was stored, because:"


async def asked(parts: WebParts, request: Request) -> RequestRecord:
    """The request that the body asks for, after the wait that it wants. Raises as the service does, and
    ProblemDetail and InvalidArguments for a caller and a body that cannot ask.
    """
    agent = require_agent(request)
    arguments, submission = parse_submission(await json_object(request), consequence=NOTHING_STORED)
    record = await parts.service.submit(agent.name, submission)
    if arguments.wait_seconds:
        record = await parts.service.wait(record.request.request_id, arguments.wait_seconds)
    return record
