"""An agent with a shell as a user of its own, and its own key, tries every door: nothing is approved."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.routing import Route

from hitl_mcp.wiring import build_application
from server_kit.audit_records import AuditQuery
from tests.tools.served import Served, asking, make_home, serving, settings_for

pytestmark = pytest.mark.timeout(180)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"verdict": "approve", "action_digest": "DIGEST", "person": "ada", "reason": "x"},
    {"person": "ada", "password": "AGENT_KEY"},
    {
        "type": "block_actions",
        "user": {"id": "U1"},
        "actions": [{"action_id": "approve", "value": "REQUEST"}],
    },
    {"update_id": 1, "callback_query": {"id": "1", "from": {"id": 1}, "data": "approve:REQUEST"}},
)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Served]:
    # In a place that everybody can walk to, so that the home's own modes are what protects it.
    place = Path(tempfile.mkdtemp(prefix="hitl-", dir="/tmp"))
    os.chmod(place, 0o755)
    try:
        settings = settings_for(place / "home")
        keys = await make_home(settings)
        async with serving(settings, keys) as served:
            yield served
    finally:
        shutil.rmtree(place, ignore_errors=True)


def application_inside(door: object, depth: int = 12) -> FastAPI:
    """The routes behind however many guards."""
    if isinstance(door, FastAPI):
        return door
    assert depth > 0, "no application behind the guards"
    inner = list(vars(door).values()) if hasattr(door, "__dict__") else []
    inner += [cell.cell_contents for cell in getattr(door, "__closure__", None) or ()]
    for candidate in inner:
        if callable(candidate) and not isinstance(candidate, type):
            try:
                return application_inside(candidate, depth - 1)
            except AssertionError:
                continue
    raise AssertionError("no application behind the guards")


def every_door(app: FastAPI, description: dict[str, Any]) -> set[tuple[str, str]]:
    """Every route that is described, and every other that is served; each with every method."""
    described = set(description["paths"])
    served = {route.path for route in app.router.routes if isinstance(route, Route)}
    channels = {f"/callbacks/{name}" for name in ("slack", "telegram", "email", "sms")}
    assert len(described) >= 10
    return {(method, path) for path in described | served | channels for method in METHODS}


def filled(path: str, request_id: str, digest: str) -> str:
    for name in ("request_id", "id"):
        path = path.replace(f"{{{name}}}", request_id)
    path = path.replace("{digest}", digest).replace(":path}", "}")
    while "{" in path:
        start, end = path.index("{"), path.index("}")
        path = path[:start] + request_id + path[end + 1 :]
    return path


def attempts(method: str, key: str, asked: dict[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    credentials: tuple[dict[str, str], ...] = (
        {"Authorization": f"Bearer {key}"},
        {"Cookie": f"session={key}; hitl_session={key}", "Origin": "http://127.0.0.1"},
        {"X-Forwarded-User": "ada", "X-Forwarded-For": "127.0.0.1", "X-Capability-Token": key},
    )
    for headers in credentials:
        for body in BODIES if method == "POST" else BODIES[:1]:
            text = json.dumps(body).replace("DIGEST", asked["action_digest"]).replace("AGENT_KEY", key)
            yield headers, json.loads(text.replace("REQUEST", asked["request_id"]))


async def approvals(server: Served) -> list[str]:
    """Whatever says that something was approved or minted."""
    async with build_application(server.settings) as application:
        found = [
            entry.event
            for event in ("token.minted", "request.spent", "request.allowed_by_rule", "request.decided")
            for entry in await application.audit.search(AuditQuery(event=event))
        ]
        assert (await application.audit.verify(application.audit.public_keys)).intact
    return found


async def test_no_route_with_any_method_and_no_callback_approves_anything(server: Served) -> None:
    async with server.agent() as client:
        asked = (await client.post("/api/v1/approvals", json=asking())).json()
        description = (await client.get("/api/openapi.json")).json()
    async with build_application(server.settings) as application:
        doors = every_door(application_inside(application.build_http_app()), description)
    tried = 0
    async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
        for method, path in sorted(doors):
            # Calls that are held would only make the test wait; signing out is no attack.
            if path.endswith(("/wait", "/events", "/mcp", "/mcp/", "/ws")) or (method, path) == (
                "DELETE",
                "/api/v1/session",
            ):
                continue
            url = filled(path, asked["request_id"], asked["action_digest"])
            for headers, body in attempts(method, server.keys["builder"], asked):
                answer = await client.request(method, url, headers=headers, json=body)
                assert answer.status_code < 500 or answer.status_code == 503, (method, path, answer.text)
                assert '"capability_token":"' not in answer.text.replace(" ", ""), (method, path)
                tried += 1
    assert tried > 500
    assert await approvals(server) == []


async def test_no_tool_approves_anything(server: Served) -> None:
    async with server.agent() as client:
        asked = (await client.post("/api/v1/approvals", json=asking())).json()
    async with server.mcp() as client:
        for tool in (await client.list_tools()).tools:
            properties = tool.input_schema.get("properties", {})
            arguments: dict[str, Any] = {
                name: _value(name, schema, asked) for name, schema in properties.items()
            }
            arguments |= {"wait_seconds": 0} if "wait_seconds" in properties else {}
            for more in ({}, {"status": "APPROVED", "approved_by": ["ada"], "verdict": "approve"}):
                # A call that is held until a person decides is given up: nobody will.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(3):
                        result = await client.call_tool(tool.name, {**arguments, **more})
                        assert "eyJ" not in str(result.structured_content), tool.name
    assert await approvals(server) == []


def _value(name: str, schema: dict[str, Any], asked: dict[str, Any]) -> Any:
    kinds = {schema.get("type"), *(each.get("type") for each in schema.get("anyOf", []))}
    if name == "action":
        return {"type": "code_execution", "language": "python", "code": "print(7)"}
    if name == "request_id":
        return asked["request_id"]
    if "enum" in schema:
        return schema["enum"][0]
    if "integer" in kinds or "number" in kinds:
        return 1
    if "object" in kinds:
        return {}
    return [] if "array" in kinds else "APPROVED"


def test_another_user_reads_no_file_of_the_home_and_no_memory_of_the_server(tmp_path: Path) -> None:
    """Run as nobody: the home's files and directories, the database, and /proc of a process that serves."""
    if os.geteuid() != 0:
        pytest.fail("this test changes to another user, which root alone can")
    place = Path(tempfile.mkdtemp(prefix="hitl-", dir="/tmp"))
    place.chmod(0o755)
    try:
        home = place / "home"
        asyncio.run(make_home(settings_for(home)))
        targets = [
            home,
            *sorted(home.rglob("*")),
            *(Path(f"/proc/{os.getpid()}/{n}") for n in ("mem", "environ")),
        ]
        # The way is left open on purpose: every file has to be closed by itself.
        home.chmod(0o755)
        (home / "keys").chmod(0o755)
        account = pwd.getpwnam("nobody")
        script = (
            "import sys\n"
            "for path in sys.argv[1:]:\n"
            "    try: open(path, 'rb').read(1); print(path)\n"
            "    except IsADirectoryError: pass\n"
            "    except OSError: pass\n"
            "    try: open(path, 'r+b'); print('wrote', path)\n"
            "    except OSError: pass\n"
        )
        done = subprocess.run(
            ["/usr/bin/python3", "-I", "-c", script, *map(str, targets)],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            cwd="/",
            check=True,
        )
        assert done.stdout == ""
        assert len(targets) > 6
    finally:
        shutil.rmtree(place, ignore_errors=True)
