"""A browser without a browser: signs in over the pages, follows forms, keeps cookies."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import httpx2

from tests.tools.served import PASSWORD, Served


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self._current: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            assert found.get("method") == "post"
            self._current = self.forms.setdefault(found["action"] or "", {})
        elif tag == "input" and self._current is not None and found.get("name"):
            self._current[found["name"] or ""] = found.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._current = None


def forms_of(page: httpx2.Response) -> dict[str, dict[str, str]]:
    """Every form of a page: its action, and the values of its inputs."""
    parser = _Forms()
    parser.feed(page.text)
    return parser.forms


def text_of(page: httpx2.Response) -> str:
    """The page without its tags; entities stay as they are written."""
    return re.sub(r"<[^>]*>", " ", page.text)


class Visitor:
    """One person's browser."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.http.get(path, headers=headers)

    async def post(self, path: str, fields: dict[str, Any], **headers: str) -> httpx2.Response:
        return await self.http.post(path, data=fields, headers=headers)

    async def sign_in(self, person: str = "ada", password: str = PASSWORD, **fields: str) -> httpx2.Response:
        form = forms_of(await self.get("/sign-in"))["/sign-in"]
        return await self.post("/sign-in", {**form, "person": person, "password": password, **fields})


def visitor(server: Served) -> Visitor:
    return Visitor(server.http(follow_redirects=False))


async def ask(server: Served, code: str = "print(6 * 7)", **more: Any) -> str:
    """A pending request of the agent `builder`; returns its id."""
    body = {
        "action": {"type": "code_execution", "language": "python", "code": code},
        "justification": "to know the answer",
        **more,
    }
    async with server.agent() as agent:
        answer = await agent.post("/api/v1/approvals", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["request_id"])


async def status_of(server: Served, request_id: str) -> str:
    async with server.agent() as agent:
        return str((await agent.get(f"/api/v1/approvals/{request_id}")).json()["status"])
