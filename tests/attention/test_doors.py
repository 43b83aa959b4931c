"""Who sees whose measure over REST and on the page; what people are told of a drill, and when."""

from __future__ import annotations

import re
from typing import Any

from hitl_mcp.identity.hierarchy import Role
from hitl_mcp.wiring import build_application
from tests.attention.drilling import AGENT, filed
from tests.tools.served import PASSWORD, Served
from tests.web.pages import ask, text_of, visitor

PATH = "/api/v1/people/attention"


async def drilled(server: Served) -> str:
    async with build_application(server.settings) as application:
        return (await filed(application.service, application.database)).request.request_id


async def test_administrators_and_auditors_see_everybody_and_others_themselves(server: Served) -> None:
    async with build_application(server.settings) as application:
        await application.people.add("olga", PASSWORD, [Role.AUDITOR])
    for person in ("ada", "bob"):
        await server.decide(await ask(server, f"print({person!r})"), person=person)
    seen: dict[str, Any] = {}
    for reader in ("root", "olga", "ada", "bob"):
        async with await server.person(reader) as client:
            answer = await client.get(PATH)
            assert answer.status_code == 200, answer.text
            seen[reader] = [each["person"] for each in answer.json()["people"]]
            others = await client.get(PATH, params={"person": "ADA", "days": "7"})
            assert others.status_code == (403 if reader == "bob" else 200)
    assert seen == {"root": ["ada", "bob"], "olga": ["ada", "bob"], "ada": ["ada"], "bob": ["bob"]}
    async with server.agent() as agent:
        assert (await agent.get(PATH)).status_code == 403
    async with server.http() as nobody:
        assert (await nobody.get(PATH)).status_code == 401


async def test_the_measure_says_all_that_it_is_made_of(server: Served) -> None:
    await server.decide(await ask(server))
    async with await server.person("ada") as ada:
        document = (await ada.get(PATH)).json()
        for wrong in ({"days": "0"}, {"days": "x"}, {"person": ""}, {"since": "2020-01-01"}):
            assert (await ada.get(PATH, params=wrong)).status_code == 422
    (person,) = document["people"]
    assert (document["days"], document["words_per_minute"], document["least_seconds"]) == (30, 600, 3)
    assert (person["decided"], person["approved_share"], person["warning"]) == (1, 1.0, None)
    assert (person["canaries_caught"], person["canaries_missed"]) == (0, 0)


async def test_the_page_shows_ones_own_measure(server: Served) -> None:
    await server.decide(await ask(server), person="bob")
    browser = visitor(server)
    async with browser.http:
        assert (await browser.get("/attention")).status_code == 303
        await browser.sign_in()
        assert "How attentively you decide" in text_of(await browser.get("/"))
        assert "Nothing was decided" in text_of(await browser.get("/attention"))
    other = visitor(server)
    async with other.http:
        await other.sign_in("bob")
        page = text_of(await other.get("/attention"))
    assert "1 decided, 100% approved" in page
    assert "0 caught, 0 missed" in page


async def asked_by_an_agent(server: Served, drill: str) -> str:
    """An agent's own request for the very action of a drill."""
    async with await server.person("ada") as ada:
        shown = (await ada.get(f"/api/v1/approvals/{drill}")).json()
    body = {name: shown[name] for name in ("action", "justification", "summary")}
    async with server.agent() as agent:
        return (await agent.post("/api/v1/approvals", json=body)).json()["request_id"]


def bare(page: str, request_id: str, agent: str) -> str:
    """A page without what differs from request to request."""
    page = page.replace(request_id, "ID").replace(agent, "AGENT")
    return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|value=\"[^\"]{40,}\"", "", page)


async def test_a_drill_is_an_ordinary_page_until_it_is_decided(server: Served) -> None:
    drill = await drilled(server)
    ordinary = await asked_by_an_agent(server, drill)
    browser = visitor(server)
    async with browser.http:
        await browser.sign_in()
        before, other = await browser.get(f"/requests/{drill}"), await browser.get(f"/requests/{ordinary}")
        inbox = text_of(await browser.get("/"))
        assert AGENT in inbox
        for page in (before.text, inbox):
            assert "drill" not in page.lower()
            assert "canary" not in page.lower()
        assert f"/requests/{drill}/approve" in before.text
        assert bare(before.text, drill, AGENT) == bare(other.text, ordinary, "builder")
        allowing = await browser.get(f"/requests/{drill}/grant")
        assert allowing.status_code == 200
        assert "not about an action" not in text_of(allowing)
    await server.decide(drill, "deny", reason="an FTP server?")
    again = visitor(server)
    async with again.http:
        await again.sign_in()
        after = text_of(await again.get(f"/requests/{drill}"))
    assert "This was a drill, and it was caught." in after
    assert "anonymous FTP server" in after


async def test_over_rest_a_drill_is_told_with_the_answer_to_the_decision(server: Served) -> None:
    drill = await drilled(server)
    async with server.agent() as agent:
        assert (await agent.get(f"/api/v1/approvals/{drill}")).status_code == 404
    async with await server.person("root") as root:
        created = (await root.get("/api/v1/audit", params={"subject": drill})).json()["entries"]
        assert [each["event"] for each in created] == ["request.created"]
        assert (await root.get("/api/v1/audit", params={"event": "canary.*"})).json()["entries"] == []
        assert (await root.get("/api/v1/audit", params={"text": "canary"})).json()["entries"] == []
    async with await server.person("ada") as ada:
        pending = (await ada.get(f"/api/v1/approvals/{drill}")).json()
        assert (pending["kind"], pending["drill"]) == ("action", None)
        answer = (await ada.post(f"/api/v1/approvals/{drill}/approve", json={})).json()
    assert (answer["status"], answer["kind"]) == ("CANCELLED", "action")
    assert answer["drill"].startswith("This was a drill, and it was let through.")
    assert answer["next_step"] == answer["drill"]
    async with await server.person("root") as root:
        entries = (await root.get("/api/v1/audit", params={"event": "canary.*"})).json()["entries"]
    assert [each["event"] for each in entries] == ["canary.filed", "canary.missed"]
