"""Allowing in advance on the pages: the words are shown first, and nothing but them is allowed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from tests.tools.served import PASSWORD, Served, Template, make_template
from tests.web.pages import Visitor, ask, forms_of, status_of, visitor

CHROMIUM = "/usr/bin/chromium"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PHONE = {"width": 390, "height": 844}


def forecast(amount: int) -> dict[str, Any]:
    arguments = {"amount": amount, "to": "acme", "note": "October"}
    return {"type": "tool_call", "server": "weather", "tool": "get_forecast", "arguments": arguments}


UP_TO_50 = {"how:/arguments/amount": "at_most", "value:/arguments/amount": "50"}


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


async def preview(ada: Visitor, request_id: str, **fields: str) -> dict[str, str]:
    """The form that confirms, as the preview gives it."""
    path = f"/requests/{request_id}/grant"
    form = forms_of(await ada.get(path))[path]
    stated = {"hours": "8", "uses": "2", "max_risk": "medium", **UP_TO_50, **fields}
    answer = await ada.post(path, {**form, **stated})
    assert answer.status_code == 200, answer.text
    return forms_of(answer)[f"{path}/confirm"]


async def test_what_was_shown_is_allowed_used_listed_and_ended(server: Served, ada: Visitor) -> None:
    request_id = await ask(server, action=forecast(20))
    assert f"/requests/{request_id}/grant" in (await ada.get(f"/requests/{request_id}")).text
    confirmed = await ada.post(f"/requests/{request_id}/grant/confirm", await preview(ada, request_id))
    assert confirmed.status_code == 303, confirmed.text
    path = confirmed.headers["location"]
    assert "still waits" in (await ada.get(path)).text
    covered = await ask(server, action=forecast(45))
    assert await status_of(server, covered) == "APPROVED"
    assert await status_of(server, await ask(server, action=forecast(51))) == "PENDING"
    page = (await ada.get(path)).text
    assert "/arguments/amount: a whole number from 0 to 50" in page
    assert covered in page
    assert "1 of 2 left" in (await ada.get("/grants")).text
    form = forms_of(await ada.get(path))[f"{path}/revoke"]
    for _ in range(2):
        assert (await ada.post(f"{path}/revoke", {**form, "reason": "enough"})).status_code == 303
    assert "Ended by ada" in (await ada.get(path)).text
    assert path not in (await ada.get("/grants")).text
    assert path in (await ada.get("/grants?over=1")).text
    assert await status_of(server, await ask(server, action=forecast(44))) == "PENDING"


@pytest.mark.parametrize(
    "changed",
    [
        {"uses": "3"},
        {"max_risk": "high"},
        {"vary": '{"/arguments/amount":{"pattern":"at_most","maximum":5000,"minimum":0,"whole":true}}'},
        {"vary": "{}"},
        {"vary": "not json"},
        {"expires_at": "2099-01-01T00:00:00+00:00"},
        {"expires_at": "soon"},
        {"wording_digest": "sha-256:" + "A" * 43},
        {"action_digest": "sha-256:" + "A" * 43},
        {"csrf_token": "x"},
    ],
)
async def test_anything_but_what_was_shown_is_refused(
    server: Served, ada: Visitor, changed: dict[str, str]
) -> None:
    request_id = await ask(server, action=forecast(20))
    form = await preview(ada, request_id)
    answer = await ada.post(f"/requests/{request_id}/grant/confirm", {**form, **changed})
    assert answer.status_code in {400, 403, 409}, answer.text
    assert "Nothing is allowed" in (await ada.get("/grants")).text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"uses": "0"}, "uses"),
        ({"uses": "many"}, "whole number"),
        ({"value:/arguments/amount": "5"}, "does not hold what was shown"),
        ({"value:/arguments/amount": "lots"}, "needs a whole number"),
        ({"how:/tool": "any_of", "value:/tool": "pay"}, "/tool"),
        ({"hours": "9999"}, "expires_at"),
        ({"max_risk": "critical"}, "max_risk"),
    ],
)
async def test_a_form_that_cannot_be_allowed_comes_back_and_says_why(
    server: Served, ada: Visitor, fields: dict[str, str], said: str
) -> None:
    path = f"/requests/{await ask(server, action=forecast(20))}/grant"
    form = forms_of(await ada.get(path))[path]
    stated = {"hours": "8", "uses": "2", "max_risk": "medium", **UP_TO_50, **fields}
    answer = await ada.post(path, {**form, **stated})
    assert answer.status_code == 400
    assert said in answer.text
    assert path + "/confirm" not in forms_of(answer)


async def test_a_stranger_sees_no_grant_and_another_site_makes_none(server: Served, ada: Visitor) -> None:
    request_id = await ask(server, action=forecast(20))
    form = await preview(ada, request_id)
    path = f"/requests/{request_id}/grant/confirm"
    assert (await ada.post(path, form, origin="https://evil.example")).status_code == 403
    stranger = visitor(server)
    async with stranger.http:
        for each in ("/grants", "/grants/grant_x", f"/requests/{request_id}/grant"):
            assert (await stranger.get(each)).headers["location"].startswith("/sign-in")
        assert (await stranger.post(path, form)).headers["location"].startswith("/sign-in")
    assert "Nothing is allowed" in (await ada.get("/grants")).text
    assert (await ada.get("/grants/grant_x")).status_code == 404


async def test_a_critical_request_offers_nothing_to_allow(server: Served, ada: Visitor) -> None:
    request_id = await ask(server, action=forecast(20), risk_level="critical")
    assert f"/requests/{request_id}/grant" not in (await ada.get(f"/requests/{request_id}")).text
    assert "critical" in (await ada.get(f"/requests/{request_id}/grant")).text


async def test_a_person_allows_more_of_the_same_on_a_phone_without_scripts(server: Served) -> None:
    request_id = await ask(server, action=forecast(20))
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        context = await chromium.new_context(java_script_enabled=False, viewport=PHONE)  # pyright: ignore[reportArgumentType]
        page = await context.new_page()
        await page.goto(f"{server.url}/requests/{request_id}")
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("link", name="Allow more of the same").click()
        amount = page.locator("fieldset", has_text="/arguments/amount")
        await amount.get_by_label("May be").select_option("at_most")
        await amount.get_by_label("Which").fill("50")
        await page.get_by_label("How often").fill("3")
        await page.get_by_role("button", name="Show what this would allow").click()
        words = page.locator("pre.display").first
        await expect(words).to_contain_text("/arguments/amount: a whole number from 0 to 50")
        await expect(words).to_contain_text("At most 3 times")
        await page.get_by_role("button", name="Allow exactly this").click()
        await expect(page.get_by_role("status")).to_contain_text("3 of 3 left")
        await page.get_by_role("link", name="All that is allowed").click()
        await expect(page.get_by_text("3 of 3 left")).to_be_visible()
        await page.get_by_text("3 of 3 left").click()
        await page.get_by_text("Revoke…").click()
        await page.get_by_role("button", name="Revoke it").click()
        await expect(page.get_by_role("status")).to_contain_text(re.compile("Ended by ada"))
        await chromium.close()
