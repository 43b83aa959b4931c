"""axe-core over every page that there is: at a phone's and a desktop's width, in light and in dark."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

from tests.outside.npm_tools import AXE, npm_file
from tests.tools.ruled import make_ruled_template
from tests.tools.served import Served, Template
from tests.web.pages import ask, forms_of, text_of, visitor
from tests.web.test_pages_browser import CHROMIUM, OPTIONS, sign_in
from tests.web.test_pages_questions import question

pytestmark = pytest.mark.timeout(300)

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = {"phone": {"width": 375, "height": 667}, "desktop": {"width": 1280, "height": 900}}
# What may differ between sizes and colours of the same page.
BY_LOOK = {
    "light": ["color-contrast", "target-size", "region", "scrollable-region-focusable"],
    "dark": ["color-contrast"],
}
LONGEST = "Restore the backup of last night and lose what was entered today"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_ruled_template(tmp_path_factory.mktemp("ruled") / "home")


@pytest_asyncio.fixture
async def server(tmp_path: Path, home: Template) -> AsyncIterator[Served]:
    async with home.served(tmp_path / "home") as running:
        yield running


@pytest.fixture(scope="module")
def axe() -> str:
    return asyncio.run(npm_file(*AXE)).read_text()


class Looking:
    """Runs axe over pages and gathers what it finds."""

    def __init__(self, page: Page, axe: str) -> None:
        self.page = page
        self.found: list[str] = []
        self.seen: list[str] = []
        self._axe = axe

    async def at(self, name: str) -> None:
        """Look at the page as it is now, with everything unfolded."""
        page = self.page
        self.seen.append(name)
        await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        await page.evaluate(self._axe)
        for size, scheme in itertools.product(WIDTHS, ("light", "dark")):
            await page.set_viewport_size(WIDTHS[size])  # pyright: ignore[reportArgumentType]
            await page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
            whole = (size, scheme) == ("phone", "light")
            only = {"type": "tag", "values": TAGS} if whole else {"type": "rule", "values": BY_LOOK[scheme]}
            options = {"runOnly": only, "resultTypes": ["violations"]}
            result = await page.evaluate("(options) => axe.run(document, options)", options)
            self.found += [
                f"{name}, {size}, {scheme}: {each['id']}: {each['help']}: {node['target']}"
                for each in result["violations"]
                for node in each["nodes"]
            ]
            width = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            if width[0] > width[1]:
                self.found.append(f"{name}, {size}: {width[0]} wide on {width[1]}")

    async def open(self, server: Served, path: str, name: str) -> None:
        response = await self.page.goto(server.url + path)
        assert response is not None
        await self.at(name)


async def requests_of_every_kind(server: Served) -> dict[str, str]:
    """A name for each, and its path."""
    paths = {
        "a plain request": await ask(server, "print(1)"),
        "a critical request": await ask(server, "print(2)", risk_level="critical"),
        "a staged request": await ask(server, "staged = 1"),
        "one that wants a reason": await ask(server, "reasoned = 1"),
        "one to look at first": await ask(server, "slowly = 1"),
        "an approved request": await ask(server, "print(3)"),
        "a denied request": await ask(server, "print(4)"),
        "an edited request": await ask(server, "print(5)"),
        "choices": await question(server, question="What now?", choices=["wait", LONGEST]),
        "free text": await question(server, question="Why?"),
        "a form": await question(
            server,
            question="How many?",
            answer_schema={
                "type": "object",
                "properties": {
                    "count": {"type": "integer", "minimum": 1, "description": "How many there are"},
                    "sure": {"type": "boolean"},
                    "colour": {"type": "string", "enum": ["red", "green"]},
                },
                "required": ["count"],
            },
        ),
        "an answered question": await question(server, question="Really?", choices=["yes", "no"]),
    }
    await server.decide(paths["a staged request"], person="bob")
    await server.decide(paths["an approved request"])
    await server.decide(paths["a denied request"], "deny", reason="not today")
    async with await server.person() as ada:
        edited = await ada.get(f"/api/v1/approvals/{paths['an edited request']}")
        await server.edit(edited.json(), {"code": "print(6)"}, person="bob")
        body = {"question": "Why now?"}
        path = f"/api/v1/approvals/{paths['a plain request']}/ask"
        assert (await ada.post(path, json=body)).status_code == 200
        answer = f"/api/v1/approvals/{paths['an answered question']}/answer"
        assert (await ada.post(answer, json={"answer": "yes"})).status_code == 200
    return {name: f"/requests/{request_id}" for name, request_id in paths.items()}


async def test_axe_finds_nothing_on_any_page(server: Served, axe: str) -> None:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = await chromium.new_page(viewport=WIDTHS["phone"])  # pyright: ignore[reportArgumentType]
        looking = Looking(page, axe)
        await looking.open(server, "/sign-in", "signing in")
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await looking.at("a wrong password")
        await sign_in(page, server)
        await looking.at("an empty inbox")
        paths = await requests_of_every_kind(server)
        for name, path in {
            **paths,
            "the inbox": "/",
            "several": "/several",
            "attention": "/attention",
            "grants": "/grants",
            "allowing a shape": f"{paths['a plain request']}/grant",
            "no such request": "/requests/req_unknown",
        }.items():
            await looking.open(server, path, name)
        await looking.open(server, f"{paths['a staged request']}/edit", "editing a program")
        await page.get_by_label("The program").fill("staged = 2")
        await page.get_by_role("button", name="Show what would change").click()
        await looking.at("what an edit changes")
        await looking.open(server, f"{paths['a plain request']}/edit?as=json", "editing everything")
        await page.get_by_label("The whole action, as JSON").fill("{}")
        await page.get_by_role("button", name="Show what would change").click()
        await looking.at("an edit that is refused")
        await page.goto(f"{server.url}/several")
        await page.get_by_role("checkbox").first.check()
        await page.get_by_role("button").filter(has_text="Approve").first.click()
        await looking.at("several that were approved")
        await chromium.close()
    assert "\n".join(looking.found) == ""
    assert len(looking.seen) == len(set(looking.seen))


async def test_every_page_that_people_can_get_is_among_those(server: Served) -> None:
    """What is looked at is found by following links from the inbox: a new page has to be added above."""
    known = {"/", "/several", "/attention", "/sign-in", "/grants"}
    browser = visitor(server)
    async with browser.http:
        await browser.sign_in()
        paths = await requests_of_every_kind(server)
        found: set[str] = set()
        waiting = ["/", *paths.values()]
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            found.add(path)
            page = await browser.get(path)
            assert text_of(page)
            forms_of(page)
            waiting += [link for link in _links(page.text) if link not in found]
    shapes = {path.partition("?")[0] for path in found}
    strange = {path for path in shapes - known if not path.startswith("/requests/")}
    assert strange == set()
    assert {path.split("/", 3)[3] for path in shapes if path.count("/") > 2} <= {"edit", "grant"}


def _links(page: str) -> list[str]:
    parts = page.split("<a ")[1:]
    links = [part.split('href="', 1)[1].split('"', 1)[0] for part in parts if 'href="' in part]
    return [link.partition("#")[0] for link in links if link.startswith("/") and not link.startswith("//")]
