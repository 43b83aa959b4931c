"""Every route's credential, the throttles, and what operators and executors read."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from hitl_contract.canonical import digest_of_bytes
from hitl_contract.keys import PublicKeys
from hitl_contract.verify import VerificationPolicy, verify_token
from hitl_mcp.identity.sign_in import FAILURES_OF_PERSON_FROM_ADDRESS
from hitl_mcp.running_server import find_running_server
from hitl_mcp.web.throttle import REFUSALS_PER_WINDOW
from hitl_mcp.wiring import build_application
from tests.conftest import free_port
from tests.tools.served import PASSWORD, Served, Template, asking, make_home, serving, settings_for

OPEN_ROUTES = {
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/revoked-tokens"),
    ("POST", "/api/v1/session"),
}


async def approved_token(server: Served) -> str:
    async with server.agent() as client:
        asked = (await client.post("/api/v1/approvals", json=asking())).json()
        await server.decide(asked["request_id"])
        return (await client.get(f"/api/v1/approvals/{asked['request_id']}")).json()["capability_token"]


async def test_every_described_route_but_the_open_ones_needs_a_credential(server: Served) -> None:
    async with server.agent() as client:
        description = (await client.get("/api/openapi.json")).json()
    assert {"/api/v1/approvals", "/api/v1/audit", "/execute"} <= description["paths"].keys()
    async with server.http() as anonymous:
        for path, operations in description["paths"].items():
            for method in operations:
                address = path.replace("{request_id}", "req_x").replace("{digest}", "sha-256:x")
                answer = await anonymous.request(method.upper(), address)
                expected = (method.upper(), path) in OPEN_ROUTES
                assert (answer.status_code != 401) is expected, (method, path, answer.status_code)
        for path in ("/api/openapi.json", "/api", "/api/v1", "/api/v1/unknown", "/mcp", "/mcp/", "/metrics"):
            assert (await anonymous.get(path)).status_code == 401


async def test_a_credential_in_another_place_or_twice_is_none(server: Served) -> None:
    key = server.keys["builder"]
    async with server.http() as client:
        for options in (
            {"params": {"access_token": key}},
            {"headers": {"X-API-Key": key}},
            {"headers": {"Authorization": f"Basic {key}"}},
            {"headers": [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")]},
            {"headers": {"Cookie": f"hitl_session={key}"}},
        ):
            assert (await client.get("/api/v1/approvals", **options)).status_code == 401  # type: ignore[arg-type]


async def test_the_published_keys_verify_a_token(server: Served) -> None:
    token = await approved_token(server)
    async with server.http() as client:
        keys = PublicKeys.from_jwks((await client.get("/.well-known/jwks.json")).json())
    policy = VerificationPolicy(issuer=server.url, audience="hitl-executor")
    claims = verify_token(token, keys=keys, policy=policy, now=time.time()).claims
    assert claims.subject == "builder"
    assert [approver.person for approver in claims.approved_by] == ["ada"]


async def test_the_action_is_read_only_under_a_token_that_names_it(server: Served) -> None:
    token = await approved_token(server)
    async with server.agent() as client:
        listed = (await client.get("/api/v1/approvals")).json()["requests"]
        other = (await client.post("/api/v1/approvals", json=asking("print(2)"))).json()
        digest = listed[0]["action_digest"]
        with_key = await client.get(f"/api/v1/actions/{digest}")
    async with server.http(token) as bearer:
        answer = await bearer.get(f"/api/v1/actions/{digest}")
        mismatch = await bearer.get(f"/api/v1/actions/{other['action_digest']}")
    async with server.http(token[:-4] + "AAAA") as forger:
        forged = await forger.get(f"/api/v1/actions/{digest}")
    async with await server.person("root") as person:
        with_session = await person.get(f"/api/v1/actions/{digest}")
    assert digest_of_bytes(answer.content) == digest
    assert mismatch.status_code == 403
    assert [forged.status_code, with_key.status_code, with_session.status_code] == [401, 401, 401]


async def test_the_audit_log_is_for_administrators(server: Served) -> None:
    await approved_token(server)
    async with server.agent() as agent, await server.person("ada") as approver:
        assert (await agent.get("/api/v1/audit")).status_code == 403
        assert (await approver.get("/api/v1/audit")).status_code == 403
    async with await server.person("root") as admin:
        first = (await admin.get("/api/v1/audit", params={"limit": 2})).json()
        rest = (await admin.get("/api/v1/audit", params={"after": first["next_after"]})).json()
    entries = [*first["entries"], *rest["entries"]]
    assert [entry["sequence"] for entry in entries] == list(range(1, len(entries) + 1))
    assert {"agent.added", "person.added", "session.opened"} <= {entry["event"] for entry in entries}
    text = json.dumps(entries)
    for secret in (PASSWORD, *server.keys.values(), *server.sessions.values()):
        assert secret not in text


async def test_sign_in_is_throttled_whatever_the_headers_say(server: Served) -> None:
    async with server.http() as client:
        statuses = []
        for number in range(FAILURES_OF_PERSON_FROM_ADDRESS + 2):
            answer = await client.post(
                "/api/v1/session",
                json={"person": ["ada", "ADA", " Ada"][number % 3], "password": "wrong horse"},
                headers={"X-Forwarded-For": f"203.0.113.{number}", "X-Real-IP": f"203.0.113.{number}"},
            )
            statuses.append(answer.status_code)
        right = await client.post("/api/v1/session", json={"person": "ada", "password": PASSWORD})
    assert statuses == [401] * FAILURES_OF_PERSON_FROM_ADDRESS + [429, 429]
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) > 0


async def test_behind_a_trusted_proxy_each_caller_has_its_own_throttle(
    tmp_path: Path,
    template: Template,
) -> None:
    proxies = {"HITL_HTTP__TRUSTED_PROXIES": "127.0.0.0/8"}
    async with template.served(tmp_path / "home", **proxies) as server, server.http() as client:

        async def sign_in(address: str, password: str) -> int:
            # The left address is what the caller claims, the right one what the proxy saw.
            forwarded = {"X-Forwarded-For": f"198.51.100.9, {address}"}
            body = {"person": "ada", "password": password}
            return (await client.post("/api/v1/session", json=body, headers=forwarded)).status_code

        for _ in range(FAILURES_OF_PERSON_FROM_ADDRESS):
            assert await sign_in("203.0.113.1", "wrong horse") == 401
        assert await sign_in("203.0.113.1", PASSWORD) == 429
        assert await sign_in("203.0.113.2", PASSWORD) == 200


async def test_wrong_api_keys_are_throttled_and_right_ones_are_not(server: Served) -> None:
    wrong = server.keys["builder"][:-4] + "aaaa"
    async with server.http(wrong) as guesser:
        statuses = [
            (
                await guesser.get("/api/v1/approvals", headers={"X-Forwarded-For": f"203.0.113.{number}"})
            ).status_code
            for number in range(REFUSALS_PER_WINDOW + 1)
        ]
    assert statuses == [401] * REFUSALS_PER_WINDOW + [429]
    async with server.agent() as client:
        assert (await client.get("/api/v1/approvals")).status_code == 200


async def test_a_session_ends_when_its_person_signs_out(server: Served) -> None:
    async with await server.person() as client:
        assert (await client.get("/api/v1/session")).json()["person"] == "ada"
        assert (await client.delete("/api/v1/session")).status_code == 204
        assert (await client.get("/api/v1/session")).status_code == 401


async def test_a_revoked_agent_is_out_at_once(server: Served) -> None:
    async with server.agent() as client:
        assert (await client.get("/api/v1/approvals")).status_code == 200
        async with build_application(server.settings) as operator:
            await operator.agents.revoke("builder")
        assert (await client.get("/api/v1/approvals")).status_code == 401


async def test_metrics_need_their_own_token(tmp_path: Path, template: Template) -> None:
    token = "metrics-token-of-the-test"
    async with template.served(tmp_path / "home", HITL_HTTP__METRICS_TOKEN=token) as server:
        async with server.agent() as agent:
            assert (await agent.get("/metrics")).status_code == 401
        async with server.http(token) as scraper:
            answer = await scraper.get("/metrics")
    assert answer.status_code == 200
    assert "hitl_http_requests_total" in answer.text


async def test_the_public_url_is_answered_to_and_another_name_is_not(
    tmp_path: Path,
    template: Template,
) -> None:
    public = {"HITL_HTTP__PUBLIC_URL": "https://approvals.example.com"}
    async with template.served(tmp_path / "home", **public) as server:
        running = find_running_server(server.settings.home)
        assert running is not None
        server.url = running.address
        async with server.agent() as client:
            for headers, status in (
                ({"Host": "approvals.example.com"}, 200),
                ({"Host": "approvals.example.com", "Origin": "https://approvals.example.com"}, 200),
                ({"Host": "approvals.example.com.evil.example"}, 421),
                ({"Host": "localhost.evil.example:3003"}, 421),
                ({"Host": "evil.example", "X-Forwarded-Host": "approvals.example.com"}, 421),
                ({"Host": "approvals.example.com", "Origin": "https://evil.example"}, 403),
            ):
                answer = await client.get("/api/v1/approvals", headers=headers)
                assert answer.status_code == status, headers
            probe = await client.get("/health", headers={"Host": "10.1.2.3:3003"})
    assert probe.status_code == 200


async def test_execute_says_that_the_token_is_unspent_when_the_executor_is_down(
    tmp_path: Path,
    template: Template,
) -> None:
    async with template.served(tmp_path / "home", HITL_EXECUTOR_URL="http://127.0.0.1:1") as server:
        token = await approved_token(server)
        async with server.http() as client:
            down = await client.post("/execute", headers={"X-Capability-Token": token})
            forged = await client.post("/execute", headers={"X-Capability-Token": token[:-4] + "AAAA"})
            missing = await client.post("/execute", json={})
    assert down.status_code == 503
    assert int(down.headers["retry-after"]) > 0
    assert "not spent" in down.json()["detail"]
    assert (forged.status_code, missing.status_code) == (401, 401)


async def test_execute_hands_on_the_token_and_the_answer(tmp_path: Path, template: Template) -> None:
    received: list[bytes] = []

    async def executor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        received.extend([head, await reader.readexactly(length)])
        body = b'{"status":"completed"}'
        writer.write(
            b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(executor, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, template.served(tmp_path / "home", HITL_EXECUTOR_URL=url) as server:
        token = await approved_token(server)
        async with server.http() as client:
            answer = await client.post(
                "/execute", headers={"X-Capability-Token": token}, json={"wait_seconds": 1}
            )
    assert answer.status_code == 202
    assert answer.json() == {"status": "completed"}
    assert received[0].startswith(b"POST /api/v1/execute ")
    assert json.loads(received[1]) == {"wait_seconds": 1, "capability_token": token}


async def test_two_replicas_on_postgresql_share_everything(tmp_path: Path, postgresql_url: str) -> None:
    ports = free_port(), free_port()
    shared = {"HITL_DATABASE_URL": postgresql_url, "HITL_HTTP__PUBLIC_URL": "http://approvals.test"}
    replicas = [settings_for(tmp_path / "home", **shared, HITL_HTTP__PORT=str(port)) for port in ports]
    keys = await make_home(replicas[0])
    async with serving(replicas[0], keys) as one, serving(replicas[1], keys) as two:
        one.url, two.url = (f"http://127.0.0.1:{port}" for port in ports)
        async with one.mcp() as agent:
            waiting = asyncio.create_task(agent.call_tool("request_approval", asking()))
            pending = await two.one_pending()
            await two.decide(pending["request_id"])
            answer = (await waiting).structured_content
        assert answer["status"] == "APPROVED"
        async with two.mcp(mode="legacy") as agent:
            again = await agent.call_tool("check_status", {"request_id": pending["request_id"]})
        assert again.structured_content["capability_token"]


@pytest.mark.parametrize(
    ("path", "told"),
    [("/health", {"status": "ok"}), ("/ready", {"status": "ready", "rules": "current"})],
    ids=["health", "ready"],
)
async def test_probes_need_nothing_and_tell_nothing_but_whether_all_is_well(
    server: Served, path: str, told: dict[str, str]
) -> None:
    async with server.http() as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (200, told)


async def test_text_that_is_no_text_is_the_callers_mistake(server: Served) -> None:
    async with server.http() as client:
        for field in ("person", "password"):
            body = {"person": "ada", "password": PASSWORD, field: "a\ud800b"}
            answer = await client.post(
                "/api/v1/session", content=json.dumps(body), headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 422
            assert [each["field"] for each in answer.json()["errors"]] == [field]
