"""Requests for one and the same action on the pages: shown once, decided one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.tools.served import Served, Template, asking, make_template
from tests.web.pages import Visitor, ask, forms_of, status_of, text_of, visitor


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


async def same_by_other(server: Served) -> str:
    async with server.agent("other") as agent:
        answer = await agent.post("/api/v1/approvals", json=asking(justification="I want it too"))
    return str(answer.json()["request_id"])


async def status_by_other(server: Served, request_id: str) -> str:
    async with server.agent("other") as agent:
        return str((await agent.get(f"/api/v1/approvals/{request_id}")).json()["status"])


async def test_the_same_action_is_listed_once_with_everybody_who_asks(server: Served, ada: Visitor) -> None:
    await ask(server)
    await same_by_other(server)
    await ask(server, "print('another')")
    for path in ("/", "/inbox"):
        page = text_of(await ada.get(path))
        assert "2 requests for the same" in page, path
        assert "I want it too" in page
    assert (await ada.get("/several")).text.count("print(6 * 7)") == 1


async def test_one_form_approves_what_is_ticked_each_by_its_own_digest(server: Served, ada: Visitor) -> None:
    mine, other = await ask(server), await same_by_other(server)
    page = await ada.get(f"/requests/{mine}")
    assert "1 more request for exactly this" in text_of(page)
    assert "I want it too" in page.text
    form = forms_of(page)["/several"]
    assert form[f"item.{mine}"] == form[f"item.{other}"]
    assert (await ada.post("/several", form)).status_code == 200
    assert await status_of(server, mine) == "APPROVED"
    assert await status_by_other(server, other) == "APPROVED"
    async with await server.person("bob") as bob:
        batches = [(await bob.get(f"/api/v1/approvals/{each}")).json()["decisions"] for each in (mine, other)]
    assert [len(each) for each in batches] == [1, 1]


async def test_a_box_with_another_digest_decides_nothing_and_the_rest_stands(
    server: Served, ada: Visitor
) -> None:
    mine, other = await ask(server), await same_by_other(server)
    form = forms_of(await ada.get(f"/requests/{mine}"))["/several"]
    changed = {**form, f"item.{other}": "sha-256:" + "A" * 43}
    assert (await ada.post("/several", changed)).status_code == 200
    assert await status_of(server, mine) == "APPROVED"
    assert await status_by_other(server, other) == "PENDING"


async def test_critical_requests_are_looked_at_alone(server: Served, ada: Visitor) -> None:
    first = await ask(server, risk_level="critical")
    async with server.agent("other") as agent:
        await agent.post("/api/v1/approvals", json=asking(risk_level="critical"))
    assert "exactly this" not in text_of(await ada.get(f"/requests/{first}"))
