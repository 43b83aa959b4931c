"""Stages, edits, conditions and batches on the pages, over plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.tools.ruled import make_ruled_template
from tests.tools.served import Served, Template
from tests.web.pages import Visitor, ask, forms_of, status_of, text_of, visitor


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_ruled_template(tmp_path_factory.mktemp("ruled") / "home")


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


async def test_the_page_says_the_rule_what_is_needed_and_whose_turn_it_is(
    server: Served, ada: Visitor
) -> None:
    request_id = await ask(server, "staged = 1")
    await server.decide(request_id, person="bob")
    text = " ".join(text_of(await ada.get(f"/requests/{request_id}")).split())
    assert "Still needed: 1 more of 2 from platform, then 1 from security" in text
    assert "two-stages" in text
    assert "it touches what two teams own" in text
    assert "How each assessor voted" in text
    cleo = visitor(server)
    async with cleo.http:
        await cleo.sign_in("cleo")
        page = await cleo.get(f"/requests/{request_id}")
    assert "It is not your turn yet" in text_of(page)
    forms = forms_of(page)
    assert f"/requests/{request_id}/approve" not in forms
    assert f"/requests/{request_id}/deny" in forms


async def test_an_edit_takes_two_steps_and_the_first_changes_nothing(server: Served, ada: Visitor) -> None:
    request_id = await ask(server, "print('old')")
    path = f"/requests/{request_id}/edit"
    form = forms_of(await ada.get(path))[path]
    wrong = await ada.post(path, {**form, "code": "  "})
    assert wrong.status_code == 400
    assert "Nothing was changed" in text_of(wrong)
    preview = await ada.post(path, {**form, "code": "print('new </textarea><b>')", "reason": "better"})
    assert preview.status_code == 200
    assert "<b>" not in preview.text
    assert "New digest" in text_of(preview)
    assert (await server.one_pending())["revision"] == 0
    confirm = forms_of(preview)[f"{path}/confirm"]
    other = await ada.post(f"{path}/confirm", {**confirm, "edited_digest": confirm["action_digest"]})
    assert (other.status_code, (await server.one_pending())["revision"]) == (409, 0)
    forged = await ada.post(f"{path}/confirm", {**confirm, "csrf_token": "guess"})
    assert forged.status_code == 403
    assert (await ada.post(f"{path}/confirm", confirm)).status_code == 303
    edited = await server.one_pending()
    assert (edited["revision"], edited["action_digest"]) == (1, confirm["edited_digest"])
    page = await ada.get(f"/requests/{request_id}")
    assert "Edited by ada" in text_of(page)
    assert '<del class="bytes removed">' in page.text
    stale = await ada.post(f"{path}/confirm", confirm)
    assert stale.status_code == 409


async def test_what_a_text_area_would_not_show_as_it_is_is_edited_as_escaped_json(
    server: Served, ada: Visitor
) -> None:
    request_id = await ask(server, "x = 1  # \u202eevil\u200b")
    page = await ada.get(f"/requests/{request_id}/edit")
    assert "\u202e" not in page.text
    assert "\\u202eevil\\u200b" in page.text
    assert 'name="code"' not in page.text


async def test_conditions_and_revoking_work_from_the_page(server: Served, ada: Visitor) -> None:
    request_id = await ask(server)
    path = f"/requests/{request_id}/approve-with-conditions"
    form = forms_of(await ada.get(f"/requests/{request_id}"))[path]
    plain = {name: value for name, value in form.items() if not name.startswith("offer.")}
    for wrong in ({"limit.wall_seconds": "many"}, {"limit.wall_seconds": "3000"}, {}):
        assert (await ada.post(path, {**plain, **wrong})).status_code == 400, wrong
    assert await status_of(server, request_id) == "PENDING"
    assert (await ada.post(path, {**plain, "limit.wall_seconds": "5"})).status_code == 303
    assert await status_of(server, request_id) == "APPROVED"
    revoke = f"/requests/{request_id}/revoke"
    form = forms_of(await ada.get(f"/requests/{request_id}"))[revoke]
    assert (await ada.post(revoke, form)).status_code == 303
    assert "Approved, then revoked" in text_of(await ada.get(f"/requests/{request_id}"))


async def test_a_reason_that_the_rule_asks_for_is_asked_for_on_the_page(server: Served, ada: Visitor) -> None:
    request_id = await ask(server, "reasoned = 1")
    path = f"/requests/{request_id}/approve"
    form = forms_of(await ada.get(f"/requests/{request_id}"))[path]
    assert (await ada.post(path, form)).status_code == 400
    assert (await ada.post(path, {**form, "reason": "I know the author."})).status_code == 303
    assert await status_of(server, request_id) == "APPROVED"


async def test_a_look_is_counted_from_when_the_page_was_shown(server: Served, ada: Visitor) -> None:
    request_id = await ask(server, "slowly = 1")
    page = await ada.get(f"/requests/{request_id}")
    assert "a look of 30 seconds" in text_of(page)
    answer = await ada.post(
        f"/requests/{request_id}/approve", forms_of(page)[f"/requests/{request_id}/approve"]
    )
    assert answer.status_code == 403
    assert await status_of(server, request_id) == "PENDING"


async def test_only_what_is_shown_whole_can_be_ticked_and_each_is_approved_by_its_digest(
    server: Served, ada: Visitor
) -> None:
    small = [await ask(server, f"print({number})") for number in range(2)]
    others = [await ask(server, "x = 1\n" * 200), await ask(server, "reasoned = 1")]
    page = await ada.get("/several")
    form = forms_of(page)["/several"]
    boxes = {name: value for name, value in form.items() if name.startswith("item.")}
    assert boxes.keys() == {f"item.{request_id}" for request_id in small}
    for digest in boxes.values():
        assert digest in page.text
    none = {"csrf_token": form["csrf_token"]}
    assert (await ada.post("/several", none)).status_code == 400
    stale = {**none, f"item.{small[0]}": "sha-256:other", f"item.{small[1]}": boxes[f"item.{small[1]}"]}
    done = text_of(await ada.post("/several", stale))
    assert "Open it again" in done
    assert [await status_of(server, each) for each in (*small, *others)] == [
        "PENDING",
        "APPROVED",
        "PENDING",
        "PENDING",
    ]


async def test_one_request_is_delegated_and_cancelled_from_its_page(server: Served, ada: Visitor) -> None:
    request_id = await ask(server, "staged = 1")
    forms = forms_of(await ada.get(f"/requests/{request_id}"))
    delegate = f"/requests/{request_id}/delegate"
    assert (await ada.post(delegate, {**forms[delegate], "to": "nobody-here"})).status_code == 409
    assert "may now decide" in text_of(await ada.post(delegate, {**forms[delegate], "to": "mona"}))
    await server.decide(request_id, person="mona")
    assert "mona" in text_of(await ada.get(f"/requests/{request_id}"))
    cancel = f"/requests/{request_id}/cancel"
    assert (await ada.post(cancel, {**forms[cancel], "reason": "obsolete"})).status_code == 303
    assert await status_of(server, request_id) == "CANCELLED"
