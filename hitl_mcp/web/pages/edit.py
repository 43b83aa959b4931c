"""Editing an action in two steps: the first shows what would change and its digest, the second does it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from hitl_contract.action import Action, action_digest, canonical_action, parse_action, parse_action_json
from hitl_contract.action_code import CodeExecution
from hitl_contract.display import render_action, safe_text
from hitl_contract.errors import FieldProblem, InvalidAction
from hitl_mcp.approvals.errors import DigestChanged
from hitl_mcp.approvals.models import ApprovalRequest, Assurance, EditInput
from hitl_mcp.errors import HitlError
from hitl_mcp.identity.sessions import SessionRecord
from hitl_mcp.interface.differences import difference
from hitl_mcp.web.pages.answering import (
    MAX_REASON_CHARACTERS,
    PageParts,
    digest_in,
    evidence_of,
    reason_of,
    text_in,
    to_request,
)
from hitl_mcp.web.pages.views import view_request

# A form of an action that may be edited here, each of its bytes as three.
MAX_EDIT_FORM_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class EditPages:
    parts: PageParts

    async def show(self, request: Request) -> Response:
        """GET /requests/{request_id}/edit, with `?as=json` for the whole action."""
        session = await self.parts.guard.reader(request)
        asked = (await self.parts.service.get(request.path_params["request_id"])).request
        if asked.status.is_terminal:
            return to_request(asked.request_id)
        code = None if request.query_params.get("as") == "json" else _plain_code(asked.action)
        return await self._page(session, asked, code=code, document=_document(asked.action))

    async def preview(self, request: Request) -> Response:
        """POST /requests/{request_id}/edit: checks the new wording and shows it. Changes nothing."""
        session, form = await self.parts.guard.writer(request, max_bytes=MAX_EDIT_FORM_BYTES)
        asked = (await self.parts.service.get(request.path_params["request_id"])).request
        if asked.status.is_terminal:
            return to_request(asked.request_id)
        if digest_in(form) != asked.action_digest:
            return self.parts.refused(DigestChanged(asked.request_id), asked.request_id, session)
        reason = reason_of(form)
        code = text_in(form, "code") if "code" in form else None
        document = form.get("action", _document(asked.action))
        try:
            edited = _edited(asked.action, code, document)
        except InvalidAction as error:
            return await self._page(
                session, asked, code=code, document=document, reason=reason, problems=error.problems
            )
        return await self._page(
            session, asked, code=code, document=_document(edited), reason=reason, edited=edited
        )

    async def confirm(self, request: Request) -> Response:
        """POST /requests/{request_id}/edit/confirm: the action whose digest was shown, and no other."""
        session, form = await self.parts.guard.writer(request, max_bytes=MAX_EDIT_FORM_BYTES)
        request_id: str = request.path_params["request_id"]
        try:
            action = parse_action_json(form.get("action", ""))
            if action_digest(action) != form.get("edited_digest"):
                return self.parts.refused(DigestChanged(request_id), request_id, session)
            await self.parts.service.edit(
                EditInput(
                    request_id=request_id,
                    person=session.person.person_id,
                    action=action,
                    reason=reason_of(form),
                    channel="web",
                    assurance=Assurance.SESSION,
                    action_digest=digest_in(form),
                    evidence=evidence_of(request, session),
                )
            )
        except InvalidAction:
            return self.parts.refused(DigestChanged(request_id), request_id, session)
        except HitlError as error:
            return self.parts.refused(error, request_id, session)
        return to_request(request_id)

    async def _page(
        self,
        session: SessionRecord,
        asked: ApprovalRequest,
        *,
        code: str | None,
        document: str,
        reason: str | None = None,
        problems: tuple[FieldProblem, ...] = (),
        edited: Action | None = None,
    ) -> Response:
        if edited is not None and edited == asked.action:
            problems = (FieldProblem("action", "is the one that is asked for already"),)
            edited = None
        record = await self.parts.service.get(asked.request_id)
        display = None if edited is None else render_action(edited)
        return self.parts.pages.response(
            "edit.html",
            status_code=400 if problems else 200,
            person=session.person.display_name,
            csrf_token=session.csrf_token,
            request=view_request(
                record, reader=session.person.person_id, now=self.parts.clock.now(), listed=True
            ),
            code=code,
            document=document,
            can_show_code=_plain_code(asked.action) is not None,
            reason=reason or "",
            problems=[(safe_text(each.field), safe_text(each.message)) for each in problems],
            edited_document=None if edited is None else canonical_action(edited).decode(),
            edited_digest=None if edited is None else action_digest(edited),
            edited_lines=display.text.removesuffix("\n").split("\n") if display else (),
            edited_warnings=display.warnings if display else (),
            changes=None if edited is None else difference(asked.action, edited),
            max_reason=MAX_REASON_CHARACTERS,
        )


def _edited(action: Action, code: str | None, document: str) -> Action:
    """
    Raises:
        InvalidAction: naming each field that is wrong.
    """
    if code is None or not isinstance(action, CodeExecution):
        return parse_action_json(document)
    fields: Mapping[str, object] = {**action.model_dump(mode="json"), "code": code}
    return parse_action(fields)


def _plain_code(action: Action) -> str | None:
    """The program, where a text area shows and sends back each character of it as it is."""
    if not isinstance(action, CodeExecution):
        return None
    plain = safe_text(action.code, multiline=True) == action.code and "\r" not in action.code
    return action.code if plain else None


def _document(action: Action) -> str:
    """The whole action as JSON in which nothing is invisible."""
    return json.dumps(json.loads(canonical_action(action)), indent=2, ensure_ascii=True)
