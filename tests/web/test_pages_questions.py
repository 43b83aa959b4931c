"""The pages of questions: the form that answers one, the form that asks an agent back, and hostile words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.tools.served import Served, Template, make_template
from tests.web.pages import Visitor, ask, forms_of, text_of, visitor

HOSTILE = "<script>alert(1)</script>\u202e[x](javascript:1)\"'><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("pages") / "home")


@pytest_asyncio.fixture
async def server(tmp_path: Path, home: Template) -> AsyncIterator[Served]:
    async with home.served(tmp_path / "home") as running:
        yield running


@pytest_asyncio.fixture
async def ada(server: Served) -> AsyncIterator[Visitor]:
    browser = visitor(server)
    async with browser.http:
        assert (await browser.sign_in()).status_code == 303
        yield browser


async def question(server: Served, **arguments: Any) -> str:
    async with server.mcp() as client:
        result = await client.call_tool("ask_human", {"wait_seconds": 0, **arguments})
    assert not result.is_error, result.content
    return str(result.structured_content["question_id"])


async def state(server: Served, request_id: str) -> dict[str, Any]:
    async with server.agent() as agent:
        return (await agent.get(f"/api/v1/approvals/{request_id}")).json()


def assert_inert(page: str) -> None:
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\u202e" not in page


async def test_a_choice_is_answered_on_the_page_which_offers_no_approval(
    server: Served, ada: Visitor
) -> None:
    name = await question(server, question=HOSTILE, choices=["red", HOSTILE])
    page = await ada.get(f"/requests/{name}")
    assert_inert(page.text)
    assert "&lt;script&gt;alert(1)" in page.text
    forms = forms_of(page)
    assert f"/requests/{name}/approve" not in forms
    form = forms[f"/requests/{name}/answer"]
    for bad in ("", "3", "0", "red", "\u0661"):
        assert (await ada.post(f"/requests/{name}/answer", {**form, "value": bad})).status_code == 400
    assert (await state(server, name))["status"] == "PENDING"
    answered = await ada.post(f"/requests/{name}/answer", {**form, "value": "2"})
    assert answered.status_code == 303, answered.text
    shown = await ada.get(f"/requests/{name}")
    assert_inert(shown.text)
    assert "Answered" in text_of(shown)
    late = await ada.post(f"/requests/{name}/answer", {**form, "value": "1"})
    assert (late.status_code, "not kept" in late.text) == (409, True)
    kept = await state(server, name)
    assert (kept["status"], kept["answer"]) == ("ANSWERED", HOSTILE)


async def test_a_flat_schema_is_a_form_and_its_mistakes_are_named(server: Served, ada: Visitor) -> None:
    schema = {
        "type": "object",
        "properties": {
            "host": {"type": "string", "title": HOSTILE, "description": HOSTILE, "minLength": 1},
            "port": {"type": "integer", "maximum": 65535},
            "tls": {"type": "boolean"},
        },
        "required": ["host", "port"],
    }
    name = await question(server, question="Where?", answer_schema=schema)
    page = await ada.get(f"/requests/{name}")
    assert_inert(page.text)
    form = {
        **forms_of(page)[f"/requests/{name}/answer"],
        "field.1": "db.example",
        "field.2": "99999",
        "field.3": "2",
    }
    wrong = await ada.post(f"/requests/{name}/answer", form)
    assert (wrong.status_code, "answer.port" in wrong.text) == (400, True)
    assert (await ada.post(f"/requests/{name}/answer", {**form, "field.2": "5432"})).status_code == 303
    assert (await state(server, name))["answer"] == {"host": "db.example", "port": 5432, "tls": False}


async def test_declining_tells_the_agent_why(server: Served, ada: Visitor) -> None:
    name = await question(server, question="Well?")
    form = forms_of(await ada.get(f"/requests/{name}"))[f"/requests/{name}/deny"]
    assert (await ada.post(f"/requests/{name}/deny", {**form, "reason": "not mine"})).status_code == 303
    assert "Declined" in text_of(await ada.get(f"/requests/{name}"))
    assert (await state(server, name))["status"] == "DENIED"


async def test_asking_back_and_the_reply_are_shown_as_words_and_nothing_more(
    server: Served, ada: Visitor
) -> None:
    name = await ask(server)
    form = forms_of(await ada.get(f"/requests/{name}"))[f"/requests/{name}/ask"]
    assert (await ada.post(f"/requests/{name}/ask", {**form, "question": HOSTILE})).status_code == 303
    async with server.mcp() as client:
        replied = await client.call_tool("check_status", {"request_id": name, "answer": HOSTILE})
    assert not replied.is_error
    page = await ada.get(f"/requests/{name}")
    assert_inert(page.text)
    assert page.text.count("&lt;script&gt;alert(1)") == 2
    assert "no part of what is approved" in text_of(page)
    assert (await state(server, name))["status"] == "PENDING"
    empty = await ada.post(f"/requests/{name}/ask", {**form, "question": " "})
    assert empty.status_code == 400


@pytest.mark.parametrize("act", ["answer", "ask"])
async def test_another_site_neither_answers_nor_asks(server: Served, ada: Visitor, act: str) -> None:
    name = await (question(server, question="Well?") if act == "answer" else ask(server))
    path = f"/requests/{name}/{act}"
    form = {**forms_of(await ada.get(f"/requests/{name}"))[path], "value": "yes", "question": "why?"}
    assert (await ada.post(path, {**form, "csrf_token": "guessed"})).status_code == 403
    assert (await ada.post(path, form, origin="https://evil.example")).status_code == 403
    assert (await ada.post(path, form, **{"sec-fetch-site": "cross-site"})).status_code == 403
    stranger = visitor(server)
    async with stranger.http:
        assert (await stranger.post(path, form)).status_code == 303
    kept = await state(server, name)
    assert (kept["status"], kept["questions"]) == ("PENDING", [])
