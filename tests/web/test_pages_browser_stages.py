"""The review and edit pages of a staged request in a real browser, at a phone's width."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from tests.tools.ruled import make_ruled_template
from tests.tools.served import Served, Template
from tests.web.pages import ask
from tests.web.test_pages_browser import CHROMIUM, CONTRAST, OPTIONS, sign_in


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_ruled_template(tmp_path_factory.mktemp("ruled") / "home")


@pytest_asyncio.fixture
async def server(tmp_path: Path, home: Template) -> AsyncIterator[Served]:
    async with home.served(tmp_path / "home") as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_an_edit_is_made_on_a_phone_without_scripts_and_everything_can_be_read(
    server: Served, scheme: str
) -> None:
    request_id = await ask(server, "staged = 1\nprint(staged)")
    await server.decide(request_id, person="bob")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        context = await chromium.new_context(
            color_scheme=scheme,  # pyright: ignore[reportArgumentType]
            viewport={"width": 390, "height": 844},
            java_script_enabled=False,
        )
        page = await context.new_page()
        readable: list[tuple[float, str]] = []

        async def check() -> None:
            readable.append(await page.evaluate(CONTRAST))
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390

        await sign_in(page, server, f"/requests/{request_id}")
        await expect(page.get_by_text("1 more of 2 from platform, then 1 from security")).to_be_in_viewport()
        await expect(page.get_by_role("button", name="Approve", exact=True)).to_be_in_viewport(ratio=1)
        await page.get_by_text("How each assessor voted").click()
        await page.get_by_text("Approve with conditions…").click()
        await check()
        await page.get_by_role("link", name="Edit…").click()
        await check()
        await page.get_by_label("The program").fill("staged = 2\nprint(staged)")
        await page.get_by_role("button", name="Show what would change").click()
        await check()
        await page.get_by_role("button", name="Change it to this").click()
        await expect(page.get_by_text("Edited by ada.")).to_be_in_viewport()
        await expect(page.get_by_text("2 from platform, then 1 from security").first).to_be_visible()
        await check()
        await chromium.close()
    assert [entry for entry in readable if entry[0] < 4.5] == []
