"""The official MCP conformance suite against both servers, on both protocol revisions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.end_to_end.house import House, open_house
from tests.outside.door import door_to
from tests.outside.npm_tools import CONFORMANCE, npm_tool, run_node

pytestmark = pytest.mark.timeout(400)
FOLDER = Path(__file__).parent


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


async def run_suite(url: str, *words: str, folder: Path) -> tuple[int, str]:
    suite = await npm_tool(*CONFORMANCE)
    arguments = ("server", "--url", f"{url}/mcp", "-o", str(folder / "results"), *words)
    return await run_node(str(suite), *arguments, cwd=folder, timeout_seconds=120)


async def test_both_servers_conform_to_both_revisions(house: House, tmp_path: Path) -> None:
    async with door_to(house.approval_url, add={"Authorization": f"Bearer {house.api_key}"}) as door:
        for url in (door, house.executor_url):
            for revision in ("2025-11-25", "2026-07-28"):
                baseline = str(FOLDER / f"conformance-{revision}.yaml")
                words = ("--requirements", revision, "--expected-failures", baseline)
                status, output = await run_suite(url, *words, folder=tmp_path)
                assert status == 0, f"{url} {revision}: {output[-3000:]}"
                assert "dns-rebinding-protection: 2 passed, 0 failed" in output


async def test_the_suite_bites_where_a_proxy_hides_the_host_header(house: House, tmp_path: Path) -> None:
    own = house.executor_url.removeprefix("http://")
    async with door_to(house.executor_url, add={"Host": own, "Origin": house.executor_url}) as door:
        status, output = await run_suite(door, "--scenario", "dns-rebinding-protection", folder=tmp_path)
    assert status != 0
    assert "dns-rebinding-protection: 2 passed" not in output
