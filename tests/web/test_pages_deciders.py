"""The page of a request says who can approve it now, who is away until when, and who acts for whom."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hitl_mcp.identity.delegations import NewDelegation
from hitl_mcp.wiring import build_application
from tests.tools.ruled import make_ruled_template
from tests.tools.served import PASSWORD, Template
from tests.web.pages import ask, text_of, visitor


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_ruled_template(tmp_path_factory.mktemp("ruled") / "home")


async def test_the_page_names_those_who_can_approve_now(home: Template, tmp_path: Path) -> None:
    async with home.served(tmp_path / "home") as server:
        async with build_application(server.settings) as application:
            now = application.clock.now()
            await application.people.add("eve", PASSWORD, [])
            await application.people.suspend("mona")
            await application.absences.add("bob", now + timedelta(days=3), substitute="eve")
            await application.delegations.add(NewDelegation("cleo", "root", now + timedelta(days=1)))
        browser = visitor(server)
        async with browser.http:
            await browser.sign_in()
            request_id = await ask(server, "staged = 1")
            page = await browser.get(f"/requests/{request_id}")
            text = " ".join(text_of(page).split())
            listed = text.partition("Who can approve now")[2].partition("medium risk")[0]
            assert "Ada" in listed
            assert f"bob away until {now + timedelta(days=3):%Y-%m-%d}" in listed
            assert "stands in" in listed
            assert "eve for bob" in listed
            # Security is asked later, and who is suspended never.
            assert "cleo" not in listed
            assert "mona" not in listed
            await server.decide(request_id, "deny")
            ended = text_of(await browser.get(f"/requests/{request_id}"))
            assert "Who can approve now" not in ended
