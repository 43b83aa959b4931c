from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.errors import AlreadyExists, IdentityRefused, NameRefused, UnknownAgent
from hitl_mcp.identity.agent_facts import StatedFacts
from hitl_mcp.storage.schema import agents
from tests.identity.directories import Directories


async def test_an_api_key_names_its_agent(directories: Directories) -> None:
    key = await directories.agents.add("builder")
    assert key.startswith("hitl_agent_")
    assert await directories.agents.authenticate(key) == "builder"


async def test_an_api_key_is_stored_nowhere(directories: Directories) -> None:
    key = await directories.agents.add("builder")
    row = await directories.database.read(lambda connection: connection.execute(select(agents)))
    assert key.rsplit("_", 1)[1] not in str(row.all())


def other_end(key: str) -> str:
    return key[:-1] + ("b" if key.endswith("a") else "a")


def space_after(key: str) -> str:
    return key + " "


@pytest.mark.parametrize("change", [other_end, str.upper, space_after])
async def test_a_changed_key_names_nobody(directories: Directories, change: Callable[[str], str]) -> None:
    key = await directories.agents.add("builder")
    assert await directories.agents.authenticate(change(key)) is None


@pytest.mark.parametrize(
    "text", ["", "hitl_agent_", "hitl_session_" + "a" * 52, "a" * 100_000, "hitl_agent_\ud800"]
)
async def test_a_string_of_another_form_names_nobody(directories: Directories, text: str) -> None:
    assert await directories.agents.authenticate(text) is None


async def test_a_revoked_key_stops_working_at_once_and_the_name_can_get_a_new_one(
    directories: Directories,
) -> None:
    old = await directories.agents.add("builder")
    await directories.agents.revoke("builder")
    assert await directories.agents.authenticate(old) is None
    new = await directories.agents.add("builder")
    assert await directories.agents.authenticate(old) is None
    assert await directories.agents.authenticate(new) == "builder"


async def test_a_name_with_a_valid_key_gets_no_second_one(directories: Directories) -> None:
    await directories.agents.add("builder")
    with pytest.raises(AlreadyExists, match="hitl agents revoke builder"):
        await directories.agents.add("builder")


async def test_revoking_an_unknown_agent_says_so(directories: Directories) -> None:
    with pytest.raises(UnknownAgent, match="nobody"):
        await directories.agents.revoke("nobody")


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a" * 65, "b\u0430d", "a\nb"])
async def test_a_name_that_could_mislead_is_refused(directories: Directories, name: str) -> None:
    with pytest.raises(NameRefused):
        await directories.agents.add(name)


async def test_a_row_written_past_the_server_is_no_agent(directories: Directories) -> None:
    key = await directories.agents.add("builder")
    await directories.database.write(
        lambda connection: connection.execute(update(agents).values(name="superuser"))
    )
    assert await directories.agents.authenticate(key) is None
    assert await directories.agents.list() == []


async def test_nothing_is_added_or_revoked_without_its_audit_entry(directories: Directories) -> None:
    key = await directories.agents.add("builder")
    directories.trail.fails = True
    with pytest.raises(RuntimeError):
        await directories.agents.add("other")
    with pytest.raises(RuntimeError):
        await directories.agents.revoke("builder")
    assert [agent.name for agent in await directories.agents.list()] == ["builder"]
    assert await directories.agents.authenticate(key) == "builder"
    assert directories.trail.events() == ["agent.added"]


async def test_of_an_agent_that_nobody_described_nothing_is_known_to_its_favour(
    directories: Directories,
) -> None:
    await directories.agents.add("builder")
    for name in ("builder", "nobody", "a\x00b", ""):
        assert await directories.agents.facts(name) == AgentFacts(name)


async def test_rules_know_of_an_agent_what_was_stated_last(directories: Directories) -> None:
    await directories.people.add("Ada", None)
    stated = StatedFacts(("Deployer", "reader"), "production", trusted=True, owner="ADA")
    await directories.agents.add("builder", stated)
    known = AgentFacts("builder", ("deployer", "reader"), "production", trusted=True, owner="ada")
    assert await directories.agents.facts("builder") == known
    assert (await directories.agents.list())[0].facts == known
    await directories.agents.set_facts("builder", StatedFacts(environment="staging"))
    assert await directories.agents.facts("builder") == AgentFacts("builder", environment="staging")


async def test_a_revoked_agent_keeps_no_facts_for_the_next_of_its_name(directories: Directories) -> None:
    await directories.agents.add("builder", StatedFacts(trusted=True))
    await directories.agents.revoke("builder")
    assert await directories.agents.facts("builder") == AgentFacts("builder")
    await directories.agents.add("builder")
    assert await directories.agents.facts("builder") == AgentFacts("builder")


async def test_facts_written_past_the_server_make_the_agent_unknown(directories: Directories) -> None:
    key = await directories.agents.add("builder")
    facts = StatedFacts(trusted=True).to_json()
    await directories.database.write(
        lambda connection: connection.execute(update(agents).values(facts=facts))
    )
    assert await directories.agents.authenticate(key) is None
    assert await directories.agents.facts("builder") == AgentFacts("builder")


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        (StatedFacts(("a b",)), "role"),
        (StatedFacts(environment="Production!"), "environment"),
        (StatedFacts(owner="nobody"), "owner"),
        (StatedFacts(owner="a\x00"), "owner"),
        (StatedFacts(tuple(f"r{number}" for number in range(51))), "role"),
    ],
)
async def test_a_fact_that_cannot_be_one_is_refused_with_its_field(
    directories: Directories, facts: StatedFacts, field: str
) -> None:
    await directories.agents.add("builder")
    with pytest.raises(IdentityRefused) as refused:
        await directories.agents.set_facts("builder", facts)
    assert refused.value.field == field
    with pytest.raises(UnknownAgent):
        await directories.agents.set_facts("nobody", StatedFacts())
