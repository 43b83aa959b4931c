"""The executor as its users meet it: processes of its own, over stdio and HTTP, with a real sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from executor_mcp.receipts import verify_receipt
from hitl_contract.keys import PublicKeys
from tests.executor.support import AUDIENCE, ISSUER, PROGRAM, Issuer

COMMAND = str(Path(sys.executable).parent / "hitl-executor")
TOOLS = {
    "execute",
    "get_execution",
    "cancel_execution",
    "list_executions",
    "read_output_file",
    "list_languages",
    "validate_code",
}
pytestmark = pytest.mark.timeout(240)


@dataclass
class Served:
    """An executor's surroundings: its home, its issuer and the environment that names both."""

    issuer: Issuer
    environment: dict[str, str]
    url: str = ""


@pytest.fixture
def served(tmp_path: Path) -> Served:
    issuer = Issuer()
    (tmp_path / "jwks.json").write_text(json.dumps(issuer.jwks()))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXECUTOR_")}
    environment |= {
        "EXECUTOR_HOME": str(tmp_path / "home"),
        "EXECUTOR_JWKS": str(tmp_path / "jwks.json"),
        "EXECUTOR_ISSUER": ISSUER,
        "EXECUTOR_AUDIENCE": AUDIENCE,
        "EXECUTOR_ISSUER_URL": "http://127.0.0.1:1",
        "EXECUTOR_HTTP__PORT": "0",
        "EXECUTOR_SANDBOX": "bubblewrap",
    }
    return Served(issuer, environment)


@asynccontextmanager
async def serving(served: Served, **settings: str) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        COMMAND, "serve", "--json", env=served.environment | settings, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        served.url = json.loads(await process.stdout.readline())["url"]
        yield served
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def command(served: Served, *arguments: str, **settings: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        env=served.environment | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def _one_run(client: Client, issuer: Issuer) -> dict[str, Any]:
    """The story of one approval: run, streamed, replayed, read again."""
    action = {
        **PROGRAM,
        "code": "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr)\n"
        "import os\nos.mkdir('out')\nopen('out/pïcture.png', 'wb').write(b'\\x89PNG')\n"
        "open('rows.json', 'w').write('[1]')\nopen('made.txt', 'w').write('kept')\n6 * 7",
    }
    token, messages = issuer.token(action), list[str]()

    async def progress(_progress: float, _total: float | None, message: str | None) -> None:
        messages.append(str(message))

    ran = await client.call_tool(
        "execute", {"capability_token": token, "action": action}, progress_callback=progress
    )
    assert not ran.is_error, ran.content
    answer = ran.structured_content
    assert answer is not None
    assert (answer["status"], answer["result"], answer["exit_code"]) == ("completed", 42, 0)
    assert (answer["stdout"], answer["stderr"]) == ("out\n", "err\n")
    assert {"stdout: out\n", "stderr: err\n"} <= set(messages)

    again = await client.call_tool("execute", {"capability_token": token, "action": action})
    text = again.content[0].text  # type: ignore[union-attr]
    assert again.is_error
    assert "already executed" in text
    assert answer["execution_id"] in text

    read = await client.call_tool("get_execution", {"execution_id": answer["execution_id"]})
    assert read.structured_content == answer
    file = await client.call_tool(
        "read_output_file", {"execution_id": answer["execution_id"], "path": "made.txt"}
    )
    assert file.structured_content is not None
    assert file.structured_content["text"] == "kept"
    resource = await client.read_resource(f"execution://{answer['execution_id']}/files/made.txt")
    assert resource.contents[0].text == "kept"  # type: ignore[union-attr]
    assert resource.contents[0].mime_type == "text/plain"
    await _media_types(client, f"execution://{answer['execution_id']}/files/")
    return answer


async def _media_types(client: Client, files: str) -> None:
    picture = (await client.read_resource(f"{files}out/p%C3%AFcture.png")).contents[0]
    assert (picture.mime_type, picture.blob) == ("image/png", "iVBORw==")  # type: ignore[union-attr]
    rows = (await client.read_resource(f"{files}rows.json")).contents[0]
    assert (rows.mime_type, rows.text) == ("application/json", "[1]")  # type: ignore[union-attr]
    (template,) = (await client.list_resource_templates()).resource_templates
    assert (template.uri_template, template.mime_type) == ("execution://{execution_id}/files/{+path}", None)
    for missing in ("other.txt", "../made.txt", "%2e%2e/made.txt", "/etc/passwd"):
        with pytest.raises(MCPError, match=r"has no file|Unknown resource"):
            await client.read_resource(files + missing)


async def test_a_program_runs_once_over_stdio(served: Served) -> None:
    server = StdioServerParameters(command=COMMAND, args=["mcp"], env=served.environment)
    async with Client(server) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        await _one_run(client, served.issuer)


async def test_a_program_runs_once_over_http_in_both_revisions_and_over_rest(served: Served) -> None:
    async with serving(served):
        for mode, version in (("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")):
            async with Client(f"{served.url}/mcp", mode=mode) as client:
                assert client.protocol_version == version
                answer = await _one_run(client, served.issuer)
                await _bad_arguments(client, served.issuer)
        async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as rest:
            keys = PublicKeys.from_jwks((await rest.get("/.well-known/jwks.json")).json())
            assert verify_receipt(answer["receipt"], keys).execution_id == answer["execution_id"]
            await _rest(rest, served.issuer)
    code, out, _ = await command(served, "audit", "verify", "--json")
    assert (code, json.loads(out)["intact"]) == (0, True)


async def _bad_arguments(client: Client, issuer: Issuer) -> None:
    for tool in (await client.list_tools()).tools:
        Draft202012Validator.check_schema(tool.input_schema)
        assert tool.output_schema is not None
        assert tool.annotations is not None
    for name, arguments, expected in (
        ("execute", {}, "capability_token: is missing"),
        ("execute", {"capability_token": 7}, "capability_token"),
        ("execute", {"capability_token": "x", "shell": "rm"}, "shell: is not an argument"),
        ("execute", {"capability_token": "x", "wait_seconds": -1}, "wait_seconds"),
        ("execute", {"capability_token": issuer.token(), "action": {"type": 3}}, "action must be an object"),
        ("get_execution", {"execution_id": "exe_x"}, "execution_id"),
        ("read_output_file", {"execution_id": "x", "path": ""}, "path"),
        ("list_executions", {}, "API key"),
        ("list_languages", {"verbose": True}, "verbose: is not an argument"),
        ("validate_code", {"action": {"type": "code_execution", "language": "perl"}}, "language"),
    ):
        answer = await client.call_tool(name, arguments)
        assert answer.is_error, name
        assert expected in answer.content[0].text, name  # type: ignore[union-attr]


async def _rest(rest: httpx2.AsyncClient, issuer: Issuer) -> None:
    token = issuer.token()
    body = {"capability_token": token, "action": PROGRAM}
    ran = (await rest.post("/api/v1/execute", json=body, timeout=60)).json()
    assert (ran["status"], ran["stdout"]) == ("completed", "42\n")
    replay = await rest.post("/api/v1/execute", json=body)
    assert (replay.status_code, replay.json()["code"]) == (409, "already_used")
    assert replay.json()["execution_id"] == ran["execution_id"]
    assert replay.headers["content-type"] == "application/problem+json"
    output = await rest.get(f"/api/v1/executions/{ran['execution_id']}/output/stdout")
    assert output.content == b"42\n"
    assert output.headers["content-disposition"].startswith("attachment")
    unfetched = await rest.post("/api/v1/execute", json={"capability_token": issuer.token()})
    assert (unfetched.status_code, unfetched.json()["code"]) == (503, "action_unavailable")
    assert unfetched.headers["retry-after"]
    for method, path, expected in (
        ("GET", "/health", 200),
        ("GET", "/ready", 200),
        ("GET", "/metrics", 401),
        ("GET", "/api/v1/executions", 401),
        ("GET", "/api/v1/executions/nobody", 404),
        ("POST", "/api/v1/executions/nobody/cancel", 404),
        ("GET", f"/api/v1/executions/{ran['execution_id']}/files/../../x", 404),
        ("GET", "/api/v1/languages", 200),
        ("POST", "/api/v1/execute", 422),
    ):
        assert (await rest.request(method, path)).status_code == expected, path
    large = await rest.post("/api/v1/execute", content=b"x" * (17 * 1024 * 1024))
    assert large.status_code == 413
    wrong_key = await rest.get("/health", headers={"Authorization": "Bearer nonsense"})
    assert wrong_key.status_code == 200
    wrong_key = await rest.get("/api/v1/languages", headers={"Authorization": "Bearer nonsense"})
    assert wrong_key.status_code == 401


async def test_a_program_that_runs_is_cancelled_within_five_seconds(served: Served) -> None:
    async with serving(served), httpx2.AsyncClient(base_url=served.url, trust_env=False, timeout=60) as rest:
        action = {
            **PROGRAM,
            "code": "import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(300)",
        }
        body = {"capability_token": served.issuer.token(action), "action": action, "wait_seconds": 0}
        begun = (await rest.post("/api/v1/execute", json=body)).json()
        assert begun["status"] in {"pending", "running"}
        ended = (await rest.post(f"/api/v1/executions/{begun['execution_id']}/cancel")).json()
        assert ended["status"] == "cancelled"


async def test_with_required_keys_every_call_needs_one_and_lists_show_the_agents_own(served: Served) -> None:
    code, out, _ = await command(served, "agents", "add", "agent-1", "--json")
    assert code == 0
    key = json.loads(out)["api_key"]
    async with (
        serving(served, EXECUTOR_REQUIRE_API_KEY="true"),
        httpx2.AsyncClient(base_url=served.url, trust_env=False, timeout=60) as rest,
    ):
        body = {"capability_token": served.issuer.token(), "action": PROGRAM}
        refused = await rest.post("/api/v1/execute", json=body)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert (await rest.post("/mcp", json={})).status_code == 401
        assert (await rest.get("/health")).status_code == 200
        rest.headers["Authorization"] = f"Bearer {key}"
        ran = (await rest.post("/api/v1/execute", json=body)).json()
        listed = (await rest.get("/api/v1/executions")).json()["executions"]
        assert [one["execution_id"] for one in listed] == [ran["execution_id"]]
        assert b"hitl_executor_executions_total" in (await rest.get("/metrics")).content
        assert (await command(served, "agents", "revoke", "agent-1"))[0] == 0
        assert (await rest.get("/api/v1/executions")).status_code == 401


async def test_a_start_that_cannot_be_says_why_in_one_line(served: Served, tmp_path: Path) -> None:
    corrupt, key, jwks = tmp_path / "corrupt.db", tmp_path / "other" / "keys", tmp_path / "bad.json"
    corrupt.write_bytes(b"this is not a database" * 100)
    key.mkdir(parents=True)
    (key / "receipts.pem").write_text("not a key")
    (key / "receipts.pem").chmod(0o600)
    jwks.write_text("{}")
    async with serving(served):
        port = served.url.rsplit(":", 1)[1]
        for settings, expected, code in (
            ({"EXECUTOR_HTTP__PORT": "many"}, "http.port", 2),
            ({"EXECUTOR_NONSENSE": "1"}, "EXECUTOR_NONSENSE is not a setting", 2),
            ({"EXECUTOR_DATABASE_URL": f"sqlite+aiosqlite:///{corrupt}"}, "corrupt.db", 3),
            ({"EXECUTOR_HOME": str(tmp_path / "other")}, "receipts.pem", 2),
            ({"EXECUTOR_HOME": "/proc/nowhere"}, "/proc/nowhere", 3),
            ({"EXECUTOR_SANDBOX": "docker", "DOCKER_HOST": "unix:///nowhere.sock"}, "docker", 3),
            ({"EXECUTOR_HTTP__PORT": port}, f"port {port}", 3),
            ({"EXECUTOR_JWKS": "/nowhere.json"}, "/nowhere.json", 2),
        ):
            found, out, err = await command(served, "serve", **settings)
            assert found == code, (settings, err)
            assert expected in err
            assert "Traceback" not in err
            assert out == ""
            assert len(err.strip().splitlines()) == 1, err


CHECKPOINT = b'{"step": 7,  "of": [1, 2]}'
SO_FAR = f"""
import os, time
open("next", "wb").write({CHECKPOINT!r})
os.rename("next", "checkpoint.json")
print('so far', flush=True)
time.sleep(120)
"""


async def test_a_server_killed_while_a_program_runs_reports_it_as_interrupted_with_its_checkpoint(
    served: Served,
) -> None:
    action = {**PROGRAM, "code": SO_FAR}
    token = served.issuer.token(action)
    body = {"capability_token": token, "action": action, "wait_seconds": 0}
    process = await asyncio.create_subprocess_exec(
        COMMAND, "serve", "--json", env=served.environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = json.loads(await process.stdout.readline())["url"]
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as rest:
        begun = (await rest.post("/api/v1/execute", json=body)).json()
    async with asyncio.timeout(30):
        # Another process's doing, of which nothing tells this one.
        while not _is_put_down(Path(served.environment["EXECUTOR_HOME"]) / "executor.db"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    async with serving(served), httpx2.AsyncClient(base_url=served.url, trust_env=False, timeout=60) as rest:
        found = (await rest.get(f"/api/v1/executions/{begun['execution_id']}")).json()
        assert (found["status"], found["stdout"]) == ("interrupted", "so far\n")
        assert found["resource_usage"]["output_bytes"] == 7
        assert not _is_put_down(Path(served.environment["EXECUTOR_HOME"]) / "executor.db")
        again = await rest.post("/api/v1/execute", json=body)
        assert (again.status_code, again.json()["execution_id"]) == (409, begun["execution_id"])
        assert found["checkpoint"] == json.loads(CHECKPOINT)
        (file,) = found["files_created"]
        assert (file["path"], file["size"]) == ("checkpoint.json", len(CHECKPOINT))
        given = {"path": "from.json", "reference": file["reference"], "sha256": file["sha256"]}
        action = {**PROGRAM, "code": "open('from.json', 'rb').read().decode()", "files": [given]}
        body = {"capability_token": served.issuer.token(action), "action": action}
        assert (await rest.post("/api/v1/execute", json=body)).json()["result"] == CHECKPOINT.decode()


def _is_put_down(database: Path) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        kept = "SELECT count(*) FROM running_output JOIN running_progress USING (execution_id)"
        return connection.execute(f"{kept} WHERE checkpoint IS NOT NULL").fetchone() != (0,)


async def test_the_executor_works_with_the_approval_server_absent(served: Served, tmp_path: Path) -> None:
    (tmp_path / "hitl_mcp").mkdir()
    blocked = "raise ImportError('the approval server is not installed')"
    (tmp_path / "hitl_mcp" / "__init__.py").write_text(blocked)
    served.environment["PYTHONPATH"] = str(tmp_path)
    check = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import hitl_mcp",
        env=served.environment,
        cwd=tmp_path,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await check.wait() == 1
    async with serving(served), httpx2.AsyncClient(base_url=served.url, trust_env=False, timeout=60) as rest:
        body = {"capability_token": served.issuer.token(), "action": PROGRAM}
        assert (await rest.post("/api/v1/execute", json=body)).json()["stdout"] == "42\n"
