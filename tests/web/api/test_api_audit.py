"""The audit log over REST: who may read it, what can be looked for, and an export that stands on its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hitl_mcp.identity.hierarchy import Role
from hitl_mcp.wiring import build_application
from server_kit.audit_verifier.command import verify_export
from server_kit.audit_verifier.signatures import Keys
from tests.conftest import free_port
from tests.tools.served import PASSWORD, Served, Template, asking

METRICS_TOKEN = "metrics-token-of-the-test"


async def with_auditor(server: Served) -> None:
    async with build_application(server.settings) as application:
        await application.people.add("olga", PASSWORD, [Role.AUDITOR])


async def test_an_auditor_reads_verifies_and_exports_the_log_and_decides_nothing(
    server: Served, tmp_path: Path
) -> None:
    await with_auditor(server)
    async with server.agent() as agent:
        asked = (await agent.post("/api/v1/approvals", json=asking())).json()
    async with await server.person("olga") as auditor:
        page = (await auditor.get("/api/v1/audit", params={"subject": asked["request_id"]})).json()
        decided = await auditor.post(f"/api/v1/approvals/{asked['request_id']}/approve")
        lent = {"from": "ada", "to": "olga", "until": "2999-01-01T00:00:00Z"}
        delegated = await auditor.post("/api/v1/delegations", json=lent)
        export = await auditor.get("/api/v1/audit/export")
        verified = (await auditor.get("/api/v1/audit/verification")).json()
    assert [entry["event"] for entry in page["entries"]] == ["request.created"]
    assert decided.status_code == 403
    assert delegated.status_code in {403, 422}
    assert (verified["intact"], verified["problems"]) == (True, [])
    assert export.headers["content-type"].startswith("application/jsonl")
    file = tmp_path / "audit.jsonl"
    file.write_bytes(export.content)
    report, _ = verify_export(file, chain="hitl", keys=Keys({"keys": verified["keys"]}))
    assert (report.intact, report.unsigned_tail) == (True, 0)
    for path in ("/api/v1/audit", "/api/v1/audit/export", "/api/v1/audit/verification"):
        for reader in (server.agent(), await server.person("ada")):
            async with reader:
                assert (await reader.get(path)).status_code == 403


async def test_a_delegation_to_an_auditor_is_refused_as_it_would_lend_them_nothing(server: Served) -> None:
    await with_auditor(server)
    async with server.agent() as agent:
        asked = (await agent.post("/api/v1/approvals", json=asking())).json()
    async with await server.person("ada") as ada:
        lent = await ada.post(f"/api/v1/approvals/{asked['request_id']}/delegate", json={"to": "olga"})
    assert lent.status_code == 422
    assert "olga is an auditor, who decides nothing in anybody's place" in lent.text
    async with await server.person("olga") as auditor:
        answer = await auditor.post(f"/api/v1/approvals/{asked['request_id']}/approve")
    assert answer.status_code == 403


async def test_filters_hold_together_and_pages_follow_each_other(server: Served) -> None:
    async with server.agent() as agent:
        for number in range(3):
            await agent.post("/api/v1/approvals", json=asking(f"print({number})"))
    async with await server.person("root") as admin:

        async def found(**query: Any) -> list[dict[str, Any]]:
            answer = await admin.get("/api/v1/audit", params=query)
            assert answer.status_code == 200, answer.text
            return answer.json()["entries"]

        everything = await found()
        created = await found(event="request.created")
        assert len(created) == 3
        assert await found(event="request.*", actor="agent:builder") == created
        middle = created[1]
        assert await found(subject=middle["subject"]) == [middle]
        assert await found(text=middle["details"]["action_digest"].upper()) == [middle]
        after = {"from": middle["at"], "to": "2999-01-01T00:00:00+02:00"}
        assert (await found(event="request.created", **after)) == created[1:]
        assert await found(event="request.created", to=middle["at"]) == created[:1]
        assert await found(event="person.*", actor="agent:builder") == []
        paged, cursor = [], 0
        while cursor is not None:
            answer = (await admin.get("/api/v1/audit", params={"after": cursor, "limit": 2})).json()
            paged += answer["entries"]
            cursor = answer["next_after"]
    assert paged == everything


BAD_QUERIES: list[tuple[dict[str, str], str, str]] = [
    ({"event": "request.*.x"}, "event", "pattern"),
    ({"event": "'; DROP TABLE"}, "event", "pattern"),
    ({"actor": ""}, "actor", "at least 1"),
    ({"actor": "x" * 301}, "actor", "at most 300"),
    ({"from": "yesterday"}, "from", "must be a time with its zone"),
    ({"from": "1700000000"}, "from", "must be a time with its zone"),
    ({"to": "2026-11-21T09:30:00"}, "to", "timezone"),
    ({"to": "0001-01-01T00:00:00+14:00"}, "to", "must be a time with its zone"),
    (
        {"from": "2026-11-22T00:00:00Z", "to": "2026-11-21T00:00:00Z"},
        "arguments",
        "from must be earlier than to",
    ),
    ({"text": "x" * 201}, "text", "at most 200"),
    ({"text": "a\x00b"}, "text", "NUL"),
    ({"after": "-1"}, "after", "integer"),
    ({"after": "9" * 30}, "after", "integer"),
    ({"limit": "0"}, "limit", "greater than or equal to 1"),
    ({"limit": "1001"}, "limit", "less than or equal to 1000"),
    ({"since": "2026-11-21T00:00:00Z"}, "since", "is not an argument; the arguments are event"),
]


async def test_a_bad_query_is_refused_with_the_field_and_the_reason(server: Served) -> None:
    async with await server.person("root") as admin:
        for query, field, reason in BAD_QUERIES:
            answer = await admin.get("/api/v1/audit", params=query)
            assert answer.status_code == 422, (query, answer.text)
            (problem,) = answer.json()["errors"]
            assert problem["field"] == field, problem
            assert reason in problem["message"], problem


async def test_the_description_names_each_filter(server: Served) -> None:
    async with server.agent() as agent:
        paths = (await agent.get("/api/openapi.json")).json()["paths"]
    parameters = {each["name"]: each for each in paths["/api/v1/audit"]["get"]["parameters"]}
    assert parameters.keys() == {"event", "actor", "subject", "from", "to", "text", "after", "limit"}
    assert not any(each["required"] or each["in"] != "query" for each in parameters.values())
    assert parameters["from"]["schema"] == {"type": "string", "format": "date-time"}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 500}
    assert "$ref" not in json.dumps(parameters)


async def test_metrics_show_how_far_the_second_witness_lags_behind(
    tmp_path: Path, template: Template
) -> None:
    settings = {
        "HITL_HTTP__METRICS_TOKEN": METRICS_TOKEN,
        "HITL_AUDIT__WITNESS__URL": f"http://127.0.0.1:{free_port()}/",
        "HITL_AUDIT__WITNESS__TIMEOUT_SECONDS": "0.2",
        "HITL_AUDIT__CHECKPOINT_EVERY": "1",
    }
    async with template.served(tmp_path / "home", **settings) as server:
        async with server.agent() as agent:
            await agent.post("/api/v1/approvals", json=asking())
        async with server.http(METRICS_TOKEN) as scraper:
            text = (await scraper.get("/metrics")).text
    shown = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("hitl_audit_witness"))
    assert float(shown["hitl_audit_witness_behind_entries"]) >= 1
    assert float(shown["hitl_audit_witness_behind_seconds"]) > 0
    assert shown["hitl_audit_witness_disputed"] == "0.0"


async def test_a_revocation_says_whether_something_may_have_run_before(server: Served) -> None:
    async def approved(code: str) -> str:
        async with server.agent() as agent:
            asked = (await agent.post("/api/v1/approvals", json=asking(code))).json()
        await server.decide(asked["request_id"])
        return asked["request_id"]

    never, collected = await approved("print(1)"), await approved("print(2)")
    async with server.agent() as agent:
        assert (await agent.get(f"/api/v1/approvals/{collected}")).json()["capability_token"]
    async with await server.person("ada") as ada:
        before = (await ada.get(f"/api/v1/approvals/{collected}")).json()
        quiet = (await ada.post(f"/api/v1/approvals/{never}/revoke")).json()
        late = (await ada.post(f"/api/v1/approvals/{collected}/revoke")).json()
        again = (await ada.get(f"/api/v1/approvals/{collected}")).json()
    assert before["revocation"] is None
    assert quiet["revocation"] == (
        "Revoked. No token was ever collected for it, so nothing ran under this approval."
    )
    assert late["revocation"].startswith("Revoked. A token was collected at 20")
    assert late["revocation"].endswith(
        "the executor refuses it from now on, but what had begun before is not undone."
    )
    assert again["revocation"] == late["revocation"]
