"""The pages over plain HTTP: who gets in, what decides, and what another site cannot do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from hitl_mcp.running_server import find_running_server
from tests.tools.served import Served, Template, make_template
from tests.web.pages import Visitor, ask, forms_of, status_of, text_of, visitor


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("pages") / "home")


@pytest_asyncio.fixture
async def server(tmp_path: Path, home: Template) -> AsyncIterator[Served]:
    async with home.served(tmp_path / "home") as running:
        yield running


@pytest_asyncio.fixture
async def stranger(server: Served) -> AsyncIterator[Visitor]:
    browser = visitor(server)
    async with browser.http:
        yield browser


@pytest_asyncio.fixture
async def ada(server: Served) -> AsyncIterator[Visitor]:
    browser = visitor(server)
    async with browser.http:
        assert (await browser.sign_in()).status_code == 303
        yield browser


async def test_every_page_leads_a_stranger_to_the_sign_in(server: Served, stranger: Visitor) -> None:
    request_id = await ask(server)
    for path in ("/", "/inbox", f"/requests/{request_id}", f"/requests/{request_id}/wait"):
        answer = await stranger.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in"), path
        assert request_id not in answer.text
    for path in (f"/requests/{request_id}/approve", f"/requests/{request_id}/deny", "/sign-out"):
        answer = await stranger.post(path, {"csrf_token": "", "action_digest": ""})
        assert (answer.status_code, answer.headers["location"][:8]) == (303, "/sign-in"), path
    assert await status_of(server, request_id) == "PENDING"


async def test_signing_in_leads_to_where_the_person_wanted_to_go(server: Served, stranger: Visitor) -> None:
    request_id = await ask(server)
    sent = (await stranger.get(f"/requests/{request_id}")).headers["location"]
    form = forms_of(await stranger.get(sent))["/sign-in"]
    answer = await stranger.sign_in(next=form["next"])
    assert answer.headers["location"] == f"/requests/{request_id}"
    assert (await stranger.get(answer.headers["location"])).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/%2f/evil.example",
        "javascript:alert(1)",
        "/requests/../../x",
        "/\r\nSet-Cookie: a=b",
        "/" + "a" * 5000,
        "",
    ],
)
async def test_no_address_of_another_site_is_a_place_to_go_to_after_signing_in(
    stranger: Visitor, target: str
) -> None:
    answer = await stranger.sign_in(next=target)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_a_wrong_password_says_neither_which_part_is_wrong_nor_lets_anybody_in(
    stranger: Visitor,
) -> None:
    wrong = await stranger.sign_in(password="not it at all")
    unknown = await stranger.sign_in(person="nobody-here", password="not it at all")
    assert wrong.status_code == unknown.status_code == 401
    assert text_of(wrong).replace("ada", "") == text_of(unknown).replace("nobody-here", "")
    assert (await stranger.get("/")).status_code == 303


async def test_guessing_passwords_is_throttled_with_the_time_to_wait(stranger: Visitor) -> None:
    answers = [await stranger.sign_in(password=f"guess number {number}") for number in range(12)]
    last = answers[-1]
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) > 0
    assert (await stranger.sign_in()).status_code == 429


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: Visitor) -> None:
    cookies = [value.lower() for value in (await stranger.sign_in()).headers.get_list("set-cookie")]
    session = [value for value in cookies if value.startswith("hitl_session=") and "max-age=0" not in value]
    assert len(session) == 1
    assert "httponly" in session[0]
    assert "samesite=strict" in session[0]
    assert "path=/" in session[0]


async def test_signing_in_gives_a_new_session_and_ends_the_one_before(server: Served, ada: Visitor) -> None:
    before = dict(ada.http.cookies)["hitl_session"]
    ada.http.cookies.set("hitl_sign_in", "x" * 43)
    form = {"csrf_token": "x" * 43, "next": "/", "person": "ada", "password": "correct horse battery"}
    assert (await ada.post("/sign-in", form)).status_code == 303
    assert dict(ada.http.cookies)["hitl_session"] != before
    async with server.http(before) as old:
        assert (await old.get("/api/v1/session")).status_code == 401


async def test_a_sign_in_form_without_its_own_token_is_refused(stranger: Visitor) -> None:
    form = {"person": "ada", "password": "correct horse battery", "next": "/"}
    assert (await stranger.post("/sign-in", form)).status_code == 403
    await stranger.get("/sign-in")
    assert (await stranger.post("/sign-in", {**form, "csrf_token": "guess"})).status_code == 403
    assert (await stranger.get("/")).status_code == 303


async def test_after_signing_out_the_session_is_worth_nothing(server: Served, ada: Visitor) -> None:
    token = dict(ada.http.cookies)["hitl_session"]
    form = forms_of(await ada.get("/"))["/sign-out"]
    assert (await ada.post("/sign-out", form)).headers["location"] == "/sign-in"
    ada.http.cookies.set("hitl_session", token)
    assert (await ada.get("/")).status_code == 303


async def test_approve_and_deny_decide_and_the_page_then_says_who_did(server: Served, ada: Visitor) -> None:
    first, second = await ask(server), await ask(server, "print(2)")
    page = await ada.get(f"/requests/{first}")
    answer = await ada.post(f"/requests/{first}/approve", forms_of(page)[f"/requests/{first}/approve"])
    assert (answer.status_code, answer.headers["location"]) == (303, f"/requests/{first}")
    ended = await ada.get(f"/requests/{first}")
    assert "Approved" in text_of(ended)
    assert forms_of(ended).keys() == {"/sign-out", f"/requests/{first}/revoke"}

    page = await ada.get(f"/requests/{second}")
    form = {**forms_of(page)[f"/requests/{second}/deny"], "reason": "Not on a Friday.\r\nAsk on Monday."}
    await ada.post(f"/requests/{second}/deny", form)
    ended = text_of(await ada.get(f"/requests/{second}"))
    assert "Denied" in ended
    assert "Not on a Friday.\nAsk on Monday." in ended
    assert (await status_of(server, first), await status_of(server, second)) == ("APPROVED", "DENIED")


async def test_the_decision_names_the_session_and_the_channel(server: Served, ada: Visitor) -> None:
    request_id = await ask(server)
    page = await ada.get(f"/requests/{request_id}")
    await ada.post(f"/requests/{request_id}/approve", forms_of(page)[f"/requests/{request_id}/approve"])
    async with await server.person("bob") as bob:
        decision = (await bob.get(f"/api/v1/approvals/{request_id}")).json()["decisions"][0]
    assert (decision["approver"], decision["channel"]) == ("ada", "web")


@pytest.mark.parametrize("verdict", ["approve", "deny"])
async def test_a_get_decides_nothing_whatever_it_carries(server: Served, ada: Visitor, verdict: str) -> None:
    request_id = await ask(server)
    form = forms_of(await ada.get(f"/requests/{request_id}"))[f"/requests/{request_id}/{verdict}"]
    answer = await ada.http.get(f"/requests/{request_id}/{verdict}", params=form)
    assert answer.status_code == 405
    await ada.http.get(f"/requests/{request_id}", params={**form, "verdict": verdict, "_method": "POST"})
    await ada.http.head(f"/requests/{request_id}")
    assert await status_of(server, request_id) == "PENDING"


@pytest.mark.parametrize("token", [None, "", "guess", "x" * 5000])
async def test_a_form_without_the_sessions_token_is_refused(
    server: Served, ada: Visitor, token: str | None
) -> None:
    request_id = await ask(server)
    form = forms_of(await ada.get(f"/requests/{request_id}"))[f"/requests/{request_id}/approve"]
    form = {name: value for name, value in form.items() if name != "csrf_token"}
    if token is not None:
        form["csrf_token"] = token
    assert (await ada.post(f"/requests/{request_id}/approve", form)).status_code == 403
    assert await status_of(server, request_id) == "PENDING"


async def test_the_token_of_another_persons_session_is_refused(server: Served, ada: Visitor) -> None:
    request_id = await ask(server)
    bob = visitor(server)
    async with bob.http:
        await bob.sign_in("bob")
        form = forms_of(await bob.get(f"/requests/{request_id}"))[f"/requests/{request_id}/approve"]
    assert (await ada.post(f"/requests/{request_id}/approve", form)).status_code == 403
    assert await status_of(server, request_id) == "PENDING"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_form_from_another_site_is_refused_even_with_the_token(
    server: Served, ada: Visitor, headers: dict[str, str]
) -> None:
    request_id = await ask(server)
    form = forms_of(await ada.get(f"/requests/{request_id}"))[f"/requests/{request_id}/approve"]
    answer = await ada.http.post(f"/requests/{request_id}/approve", data=form, headers=headers)
    assert answer.status_code == 403
    assert await status_of(server, request_id) == "PENDING"


async def test_a_double_submit_decides_once_and_the_second_sees_the_outcome(
    server: Served, ada: Visitor
) -> None:
    request_id = await ask(server)
    form = forms_of(await ada.get(f"/requests/{request_id}"))[f"/requests/{request_id}/approve"]
    for _ in range(3):
        answer = await ada.post(f"/requests/{request_id}/approve", form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/requests/{request_id}")
    async with await server.person("bob") as bob:
        assert len((await bob.get(f"/api/v1/approvals/{request_id}")).json()["decisions"]) == 1


async def test_a_decision_about_other_bytes_than_the_requests_is_refused(
    server: Served, ada: Visitor
) -> None:
    request_id, other = await ask(server), await ask(server, "print('another')")
    form = forms_of(await ada.get(f"/requests/{request_id}"))[f"/requests/{request_id}/approve"]
    foreign = forms_of(await ada.get(f"/requests/{other}"))[f"/requests/{other}/approve"]["action_digest"]
    answer = await ada.post(f"/requests/{request_id}/approve", {**form, "action_digest": foreign})
    assert answer.status_code == 409
    assert "decide anew" in text_of(answer)
    missing = {name: value for name, value in form.items() if name != "action_digest"}
    assert (await ada.post(f"/requests/{request_id}/approve", missing)).status_code == 400
    assert await status_of(server, request_id) == "PENDING"


async def test_somebody_who_may_not_approve_is_told_so(server: Served) -> None:
    request_id = await ask(server)
    root = visitor(server)
    async with root.http:
        await root.sign_in("root")
        page = await root.get(f"/requests/{request_id}")
        assert "may decide" in text_of(page)
        assert forms_of(page).keys() == {"/sign-out"}
        form = {**forms_of(page)["/sign-out"], "action_digest": (await server.one_pending())["action_digest"]}
        answer = await root.post(f"/requests/{request_id}/approve", form)
    assert answer.status_code == 403
    assert "Nothing was changed" in text_of(answer)
    assert await status_of(server, request_id) == "PENDING"


async def test_an_agents_key_opens_no_page(server: Served) -> None:
    request_id = await ask(server)
    async with server.agent() as agent:
        assert (await agent.get("/")).status_code == 303
        agent.cookies.set("hitl_session", server.keys["builder"])
        assert (await agent.get(f"/requests/{request_id}")).status_code == 303
        answer = await agent.post(f"/requests/{request_id}/approve", data={"csrf_token": "x"})
    assert answer.status_code == 303
    assert await status_of(server, request_id) == "PENDING"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"csrf_token=a&csrf_token=b", "application/x-www-form-urlencoded", 400),
        (b"csrf_token=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"csrf_token=\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"f%d=1" % number for number in range(100)), "application/x-www-form-urlencoded", 400),
        (b"reason=" + b"a" * 70_000, "application/x-www-form-urlencoded", 413),
        (b'{"csrf_token": "x"}', "application/json", 415),
        (b"csrf_token=x", "text/plain", 415),
    ],
)
async def test_a_body_that_no_form_sends_is_refused(
    server: Served, ada: Visitor, body: bytes, content_type: str, status: int
) -> None:
    request_id = await ask(server)
    path = f"/requests/{request_id}/deny"
    answer = await ada.http.post(path, content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    if status != 413:  # the size limit stands in front of every door and speaks for all of them
        assert answer.headers["content-type"].startswith("text/html")
    assert await status_of(server, request_id) == "PENDING"


async def test_a_reason_that_is_too_long_is_refused_with_the_bound(server: Served, ada: Visitor) -> None:
    request_id = await ask(server)
    form = forms_of(await ada.get(f"/requests/{request_id}"))[f"/requests/{request_id}/deny"]
    answer = await ada.post(f"/requests/{request_id}/deny", {**form, "reason": "a" * 1001})
    assert answer.status_code == 400
    assert "1000 characters" in text_of(answer)
    assert await status_of(server, request_id) == "PENDING"


async def test_an_unknown_request_is_a_page_and_says_so(ada: Visitor) -> None:
    for path in ("/requests/req_nothing", "/requests/%00", "/requests/" + "a" * 300):
        answer = await ada.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")


async def test_every_answer_of_the_pages_carries_their_headers(server: Served, ada: Visitor) -> None:
    request_id = await ask(server)
    paths = (
        "/",
        "/sign-in",
        f"/requests/{request_id}",
        "/requests/none",
        "/static/pages.css",
        "/static/none",
    )
    for path in paths:
        headers = (await ada.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["referrer-policy"] == "same-origin", path
        assert "strict-transport-security" not in headers, path
    assert (await ada.get("/")).headers["cache-control"] == "no-store"


async def test_no_page_has_inline_script_or_style_or_reaches_outside(server: Served, ada: Visitor) -> None:
    request_id = await ask(server)
    for path in ("/", "/sign-in", f"/requests/{request_id}"):
        text = (await ada.get(path)).text
        assert "<style" not in text
        assert " style=" not in text
        assert " on" + "click" not in text
        assert "http://" not in text.replace(server.url, "")
        assert "https://" not in text
        assert all("src=" in part for part in text.split("<script")[1:])


async def test_what_an_agent_writes_is_shown_as_text_and_nothing_else(server: Served, ada: Visitor) -> None:
    hostile = "</pre><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} \u202eevil\u200b"
    request_id = await ask(server, f"# {hostile}\nprint(1)", justification=hostile, summary=hostile)
    for path in (f"/requests/{request_id}", "/"):
        text = (await ada.get(path)).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "\u202e" not in text
        assert "\u200b" not in text
        assert "&lt;script&gt;alert(1)" in text
        assert "{{ 7 * 7 }}" in text
        assert "\\u{202E}" in text
    assert "holds invisible or control characters" in text_of(await ada.get(f"/requests/{request_id}"))


async def test_the_whole_action_is_shown_however_long_it_is(server: Served, ada: Visitor) -> None:
    code = "\n".join(f"print({number})" for number in range(5000))
    request_id = await ask(server, code)
    page = text_of(await ada.get(f"/requests/{request_id}"))
    assert "print(0)" in page
    assert "print(2500)" in page
    assert "print(4999)" in page


async def test_an_open_page_learns_that_the_request_has_ended(server: Served, ada: Visitor) -> None:
    request_id = await ask(server)
    await server.decide(request_id, "approve", person="bob")
    assert (await ada.get(f"/requests/{request_id}/wait")).json() == {"ended": True}


async def test_a_link_from_a_chat_still_finds_the_session(stranger: Visitor) -> None:
    answer = await stranger.get("/sign-in?next=/requests/req_x", **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'content="0;url=/requests/req_x"' in answer.text
    assert "password" not in answer.text


async def test_over_https_cookies_are_secure_and_bound_to_the_host(tmp_path: Path, home: Template) -> None:
    public = "https://approvals.example.com"
    async with home.served(tmp_path / "home", HITL_HTTP__PUBLIC_URL=public) as running:
        # What a reverse proxy passes on: the public name, over plain HTTP. The real address is in the file.
        address = find_running_server(running.settings.home)
        assert address is not None
        async with httpx2.AsyncClient(base_url=address.address) as http:
            answer = await http.get("/sign-in", headers={"host": "approvals.example.com"})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-hitl_sign_in=")
    assert "; Secure" in cookie
    assert answer.headers["strict-transport-security"].startswith("max-age=")
