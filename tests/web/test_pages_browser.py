"""The pages in a real browser: the system's Chromium, a phone's screen, scripts on and off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.tools.served import PASSWORD, Served, Template, make_template
from tests.web.pages import ask, status_of

CHROMIUM = "/usr/bin/chromium"
PHONE = {"width": 375, "height": 667}
# They share one browser, which belongs to one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("pages") / "home")


@pytest_asyncio.fixture(loop_scope="module")
async def server(tmp_path: Path, home: Template) -> AsyncIterator[Served]:
    async with home.served(tmp_path / "home") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module")
async def phone(browser: Browser) -> AsyncIterator[Page]:
    """A page whose every complaint (script error, blocked resource, dialog) fails the test."""
    page = await browser.new_page(viewport=PHONE)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield page
    await page.close()
    assert complaints == []


async def sign_in(page: Page, server: Served, path: str = "/") -> None:
    await page.goto(server.url + path)
    await page.get_by_label("Name").fill("ada")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(server.url + path)


async def test_a_person_decides_on_a_phone_from_link_to_outcome(server: Served, phone: Page) -> None:
    request_id = await ask(server, summary="Say the answer")
    await sign_in(phone, server, f"/requests/{request_id}")
    button = phone.get_by_role("button", name="Approve")
    await expect(button).to_be_in_viewport(ratio=1)
    await expect(phone.locator("pre.display")).to_contain_text("print(6 * 7)")
    await button.click()
    await expect(phone.get_by_role("status")).to_contain_text("Approved")
    await expect(phone.get_by_role("status")).to_contain_text("ada")
    await expect(phone.get_by_role("button", name="Approve")).to_have_count(0)
    assert await status_of(server, request_id) == "APPROVED"


async def test_denying_takes_a_reason_and_hides_approve_meanwhile(server: Served, phone: Page) -> None:
    request_id = await ask(server)
    await sign_in(phone, server, f"/requests/{request_id}")
    await phone.get_by_text("Deny…").click()
    await expect(phone.get_by_role("button", name="Approve")).to_be_hidden()
    await phone.get_by_role("textbox", name="Reason, which the agent will read").first.fill("Not today.")
    await phone.get_by_role("button", name="Deny", exact=True).click()
    await expect(phone.get_by_role("status")).to_contain_text("Not today.")
    assert await status_of(server, request_id) == "DENIED"


async def test_it_works_without_scripts(server: Served, browser: Browser) -> None:
    request_id = await ask(server)
    context = await browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = await context.new_page()
    await sign_in(page, server, f"/requests/{request_id}")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status")).to_contain_text("Approved")
    await context.close()


async def test_a_double_click_decides_once(server: Served, phone: Page) -> None:
    request_id = await ask(server)
    await sign_in(phone, server, f"/requests/{request_id}")
    await phone.get_by_role("button", name="Approve").dblclick()
    await expect(phone.get_by_role("status")).to_contain_text("Approved")
    async with await server.person("bob") as bob:
        assert len((await bob.get(f"/api/v1/approvals/{request_id}")).json()["decisions"]) == 1


async def test_an_open_page_shows_what_somebody_else_decided_without_being_touched(
    server: Served, phone: Page
) -> None:
    request_id = await ask(server)
    await sign_in(phone, server, f"/requests/{request_id}")
    await expect(phone.get_by_role("button", name="Approve")).to_be_visible()
    await server.decide(request_id, "deny", person="bob", reason="I was faster.")
    await expect(phone.get_by_role("status")).to_contain_text("I was faster.", timeout=10_000)


async def test_a_new_request_appears_in_an_open_inbox(server: Served, phone: Page) -> None:
    await sign_in(phone, server)
    await expect(phone.get_by_role("heading", name="Nothing is waiting")).to_be_visible()
    # The first refresh only remembers what is shown, so that an unchanged inbox is never redrawn.
    async with phone.expect_response("**/inbox"):
        pass
    await ask(server, summary="Brand new")
    await expect(phone.get_by_text("Brand new")).to_be_visible(timeout=20_000)
    assert await phone.title() == "(1) Inbox · hitl"


async def test_what_an_agent_writes_runs_nothing_and_moves_nothing(server: Served, phone: Page) -> None:
    hostile = (
        "</pre></article><script>alert(1)</script><svg onload=alert(2)><a href='javascript:alert(3)'>x</a>"
        "<form action=/sign-out method=post><button>Approve</button></form>\u202e\u2066evil"
    )
    request_id = await ask(
        server, f"# {hostile}\n" + "x = 1 " + " " * 3000 + "; import os", justification=hostile
    )
    await sign_in(phone, server, f"/requests/{request_id}")
    await expect(phone.get_by_role("button", name="Approve")).to_have_count(1)
    for never in (
        ":is(blockquote, pre.display, .headline) :is(a, form, button)",
        "script:not([src])",
        "svg",
        "article form[action='/sign-out']",
        "a[href^='javascript']",
    ):
        assert await phone.locator(never).count() == 0, never
    await expect(phone.locator("pre.display")).to_contain_text("; import os")
    width = await phone.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1]
    overflowing = await phone.evaluate(
        "(() => { const e = document.querySelector('pre.display'); return e.scrollWidth > e.clientWidth; })()"
    )
    assert not overflowing


async def test_a_wrapped_line_never_reaches_the_column_of_the_labels(server: Served, phone: Page) -> None:
    request_id = await ask(server, "x = '" + "a" * 400 + "'")
    await sign_in(phone, server, f"/requests/{request_id}")
    lefts = await phone.evaluate(
        """(() => {
          const line = [...document.querySelectorAll('.bytes')].find((e) => e.textContent.includes('aaaa'));
          const range = document.createRange();
          range.selectNodeContents(line);
          const rows = new Map();
          for (const box of range.getClientRects()) {
            const top = Math.round(box.top);
            rows.set(top, Math.min(box.left, rows.get(top) ?? box.left));
          }
          return [line.getBoundingClientRect().left, ...rows.values()];
        })()"""
    )
    edge, first, *wrapped = lefts
    assert abs(first - edge) < 2
    assert wrapped
    assert all(left > edge + 20 for left in wrapped)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_contrast_enough_to_be_read(
    server: Served, browser: Browser, scheme: str
) -> None:
    request_id = await ask(server, risk_level="critical")
    context = await browser.new_context(color_scheme=scheme, viewport=PHONE)  # pyright: ignore[reportArgumentType]
    page = await context.new_page()
    await page.goto(f"{server.url}/sign-in")
    worst = [await page.evaluate(CONTRAST)]
    await sign_in(page, server, f"/requests/{request_id}")
    worst.append(await page.evaluate(CONTRAST))
    await page.goto(server.url)
    worst.append(await page.evaluate(CONTRAST))
    assert [entry for entry in worst if entry[0] < 4.5] == []
    await context.close()


async def test_everything_that_can_be_pressed_is_reachable_by_keyboard_and_large_enough(
    server: Served, phone: Page
) -> None:
    request_id = await ask(server)
    await sign_in(phone, server, f"/requests/{request_id}")
    small = await phone.evaluate(
        """[...document.querySelectorAll('button, summary, input:not([type=hidden]), textarea, .brand')]
          .filter((e) => e.checkVisibility())
          .map((e) => [e.textContent.trim(), e.getBoundingClientRect().height])
          .filter(([, height]) => height < 43)"""
    )
    assert small == []
    focused: list[str] = []
    for key in ("Tab", "Tab", "Enter", "Tab", "Tab"):
        await phone.keyboard.press(key)
        focused.append(await phone.evaluate("document.activeElement.textContent.trim()"))
    assert focused[:2] == ["Skip to content", "Skip to the decision"]
    assert focused[3:] == ["Deny…", "Approve"]


# The lowest WCAG 2 contrast of any text on the page against what is painted behind it, with that text.
CONTRAST = """
(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map(linear);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = numbers(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, element.textContent.trim().slice(0, 40)];
  }
  return worst;
})()
"""
