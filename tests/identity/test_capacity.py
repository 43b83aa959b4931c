"""What people may do: roles with a hierarchy, groups, delegations, absences."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from hitl_mcp.approvals.capacity import ActingFor, Capacity
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.errors import AlreadyExists, CredentialRefused, IdentityRefused, UnknownDelegation, UnknownGroup
from hitl_mcp.identity.delegation_terms import DelegationScope
from hitl_mcp.identity.delegations import NewDelegation
from hitl_mcp.identity.hierarchy import Role, RoleHierarchy
from server_kit.database.base import Database
from server_kit.database.opening import open_database
from tests.conftest import ManualClock
from tests.identity.directories import Directories, open_directories

REQUEST: Mapping[str, Any] = {
    "agent": "builder",
    "action_type": "generic",
    "risk": RiskLevel.MEDIUM,
    "request_id": "req_1",
}


@pytest_asyncio.fixture
async def server(sqlite_url: str, clock: ManualClock) -> AsyncIterator[Directories]:
    """A server with four people, on the database that is quicker to make."""
    database = await open_database(sqlite_url)
    yield await populated(database, clock)
    await database.close()


async def populated(database: Database, clock: ManualClock) -> Directories:
    """Security leads are in security and may approve; a chief is a security lead."""
    made = await open_directories(
        database, clock, roles={"security-lead": ("security", "approver"), "chief": ("security-lead",)}
    )
    await made.people.add("ada", None, ["chief"])
    await made.people.add("bob", None)
    await made.people.add("eve", None, [])
    await made.people.add("root", None, [Role.ADMIN])
    return made


async def may(server: Directories, person: str, at: datetime, **request: Any) -> Capacity | None:
    return await server.people.capacity(person, at=at, **{**REQUEST, **request})


def in_days(clock: ManualClock, days: float) -> datetime:
    return clock.now() + timedelta(days=days)


async def lend(
    server: Directories, clock: ManualClock, delegator: str = "ada", delegate: str = "eve", **scope: Any
) -> str:
    wanted = NewDelegation(delegator, delegate, in_days(clock, 7), scope=DelegationScope(**scope))
    return (await server.delegations.add(wanted)).delegation_id


async def test_both_databases_keep_groups_delegations_and_absences(
    database: Database, clock: ManualClock
) -> None:
    server = await populated(database, clock)
    await server.groups.add("platform", ("ada",))
    await server.absences.add("ada", in_days(clock, 5), substitute="eve")
    delegation_id = await lend(server, clock, "bob", "eve", groups=("approver",))
    found = await may(server, "eve", clock.now())
    assert found is not None
    assert {acting.person_id: "platform" in acting.groups for acting in found.acting_for} == {
        "ada": True,
        "bob": False,
    }
    assert await server.people.members("platform") == ("ada",)
    await server.delegations.revoke(delegation_id)
    await server.absences.end("ada")
    await server.groups.remove("platform")
    assert await may(server, "eve", clock.now()) is None


async def test_a_role_brings_everything_it_implies(server: Directories, clock: ManualClock) -> None:
    found = await may(server, "ADA", clock.now())
    assert found == Capacity("ada", "ada", frozenset({"chief", "security-lead", "security", "approver"}))
    assert await server.people.eligible("ada") is not None
    assert await server.people.members("security") == ("ada",)
    assert await server.people.members("Approver") == ("ada", "bob")


@pytest.mark.parametrize(
    "implied",
    [
        {"a": ["a"]},
        {"a": ["b"], "b": ["c"], "c": ["a"]},
        {"A": ["b"], "B": ["\uff21"]},
    ],
)
def test_a_role_that_implies_itself_is_refused_with_its_way(implied: dict[str, list[str]]) -> None:
    with pytest.raises(IdentityRefused, match=r"a -> .*a: a role must not imply itself"):
        RoleHierarchy(implied)


async def test_a_group_member_has_the_group_and_no_more(server: Directories, clock: ManualClock) -> None:
    await server.groups.add("Platform", ("bob", "eve"))
    found = await may(server, "bob", clock.now())
    assert found is not None
    assert found.groups == {"approver", "platform"}
    assert await may(server, "eve", clock.now()) is None
    assert await server.people.members("PLATFORM") == ("bob", "eve")
    await server.people.suspend("bob")
    assert await server.people.members("platform") == ("eve",)
    await server.groups.leave("platform", "eve")
    assert [(group.name, group.members) for group in await server.groups.list()] == [("platform", ("bob",))]
    await server.groups.remove("platform")
    assert await server.groups.list() == []
    with pytest.raises(UnknownGroup, match="platform"):
        await server.groups.join("platform", "bob")


@pytest.mark.parametrize("name", ["approver", "Admin", "security-lead", "", "a b", "x" * 65, "a\x00", "-a"])
async def test_a_group_cannot_have_the_name_of_a_power_or_no_name(server: Directories, name: str) -> None:
    with pytest.raises(IdentityRefused, match="group"):
        await server.groups.add(name)


async def test_a_group_is_made_once(server: Directories) -> None:
    await server.groups.add("platform")
    with pytest.raises(AlreadyExists):
        await server.groups.add("PLATFORM")


async def test_a_delegate_acts_for_the_delegator_while_it_lasts(
    server: Directories, clock: ManualClock
) -> None:
    made = await server.delegations.add(
        NewDelegation("ada", "eve", in_days(clock, 7), starts_at=in_days(clock, 1))
    )
    assert await may(server, "eve", clock.now()) is None
    found = await may(server, "eve", in_days(clock, 1))
    everything = frozenset({"chief", "security-lead", "security", "approver"})
    assert found == Capacity("eve", "eve", frozenset(), (ActingFor("ada", everything, made.delegation_id),))
    assert await may(server, "eve", in_days(clock, 7)) is None


@pytest.mark.parametrize(
    ("scope", "outside"),
    [
        ({"action_types": ("generic",)}, {"action_type": "shell_command"}),
        ({"agents": ("builder",)}, {"agent": "robot"}),
        ({"max_risk": RiskLevel.MEDIUM}, {"risk": RiskLevel.HIGH}),
        ({"request_id": "req_1"}, {"request_id": "req_2"}),
    ],
)
async def test_a_delegation_counts_within_its_scope_alone(
    server: Directories, clock: ManualClock, scope: dict[str, Any], outside: dict[str, Any]
) -> None:
    await lend(server, clock, **scope)
    assert await may(server, "eve", clock.now()) is not None
    assert await may(server, "eve", clock.now(), **outside) is None


async def test_a_delegation_of_some_groups_lends_no_others(server: Directories, clock: ManualClock) -> None:
    await lend(server, clock, groups=("Security",))
    found = await may(server, "eve", clock.now())
    assert found is not None
    assert [acting.groups for acting in found.acting_for] == [frozenset({"security"})]


async def test_a_delegated_power_is_not_delegated_on(server: Directories, clock: ManualClock) -> None:
    await lend(server, clock, "ada", "bob")
    await lend(server, clock, "bob", "eve")
    found = await may(server, "eve", clock.now())
    assert found is not None
    assert [(acting.person_id, acting.groups) for acting in found.acting_for] == [
        ("bob", frozenset({"approver"}))
    ]


async def test_delegations_make_no_cycle(server: Directories, clock: ManualClock) -> None:
    await server.people.add("carol", None)
    await lend(server, clock, "ada", "bob")
    await lend(server, clock, "bob", "carol")
    with pytest.raises(IdentityRefused, match=r"to: carol -> ada -> bob -> carol"):
        await lend(server, clock, "carol", "ada")
    with pytest.raises(IdentityRefused, match="themselves"):
        await lend(server, clock, "ada", "\uff21DA")


@pytest.mark.parametrize(
    ("delegator", "delegate", "field"),
    [("nobody", "eve", "from"), ("ada", "nobody", "to"), ("eve", "bob", "from"), ("a\x00", "b", "from")],
)
async def test_a_delegation_needs_two_known_people_and_an_approver_to_lend(
    server: Directories, clock: ManualClock, delegator: str, delegate: str, field: str
) -> None:
    with pytest.raises(IdentityRefused) as refused:
        await lend(server, clock, delegator, delegate)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (None, -1, "until"),
        (None, 0, "until"),
        (-1, 1, "from"),
        (2, 1, "until"),
        (None, 31, "until"),
        (400, 401, "from"),
        (None, 40_000, "until"),
    ],
)
async def test_a_delegation_for_an_absurd_time_is_refused(
    server: Directories, clock: ManualClock, start: float | None, end: float, field: str
) -> None:
    begins = None if start is None else in_days(clock, start)
    with pytest.raises(IdentityRefused) as refused:
        await server.delegations.add(NewDelegation("ada", "eve", in_days(clock, end), begins))
    assert refused.value.field == field


async def test_a_time_without_a_zone_is_refused(server: Directories, clock: ManualClock) -> None:
    with pytest.raises(IdentityRefused, match="time zone"):
        await server.delegations.add(NewDelegation("ada", "eve", in_days(clock, 1).replace(tzinfo=None)))


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        ({"groups": ("platform",)}, "groups"),
        ({"action_types": ("anything",)}, "action_types"),
        ({"request_id": ""}, "request_id"),
        ({"groups": tuple(f"g{number}" for number in range(51))}, "groups"),
    ],
)
async def test_a_scope_of_what_is_not_there_is_refused(
    server: Directories, clock: ManualClock, scope: dict[str, Any], field: str
) -> None:
    with pytest.raises(IdentityRefused) as refused:
        await lend(server, clock, **scope)
    assert refused.value.field == field


@pytest.mark.parametrize("end", ["delegator suspended", "delegate suspended", "role lost", "revoked"])
async def test_a_delegation_ends_at_once_and_for_good(
    server: Directories, clock: ManualClock, end: str
) -> None:
    delegation_id = await lend(server, clock)
    assert await may(server, "eve", clock.now()) is not None
    if end == "revoked":
        await server.delegations.revoke(delegation_id)
    elif end == "role lost":
        await server.people.set_roles("ada", ["auditor"])
        await server.people.set_roles("ada", ["chief"])
    else:
        person = "ada" if end == "delegator suspended" else "eve"
        await server.people.suspend(person)
        await server.people.reinstate(person)
    assert await may(server, "eve", clock.now()) is None
    assert await server.delegations.list() == []
    assert [each.delegation_id for each in await server.delegations.list(over=True)] == [delegation_id]
    assert "delegation.ended" in server.trail.events()
    with pytest.raises(UnknownDelegation):
        await server.delegations.revoke(delegation_id)


async def test_leaving_a_group_ends_the_delegation_of_it(server: Directories, clock: ManualClock) -> None:
    await server.groups.add("platform", ("bob",))
    await lend(server, clock, "bob", "eve", groups=("platform",))
    await server.groups.leave("platform", "bob")
    await server.groups.join("platform", "bob")
    assert await may(server, "eve", clock.now()) is None


async def test_the_requester_delegates_nothing_about_their_own_request(
    server: Directories, clock: ManualClock
) -> None:
    await lend(server, clock)
    assert await may(server, "eve", clock.now(), agent="Ada") is None


async def test_only_the_delegator_or_an_administrator_delegates(
    server: Directories, clock: ManualClock
) -> None:
    actors = {name: await server.people.active(name) for name in ("ada", "bob", "root")}
    wanted = NewDelegation("ada", "eve", in_days(clock, 1))
    with pytest.raises(CredentialRefused):
        await server.delegations.add(wanted, actor=actors["bob"])
    made = await server.delegations.add(wanted, actor=actors["ada"])
    with pytest.raises(UnknownDelegation):
        await server.delegations.revoke(made.delegation_id, actor=actors["bob"])
    await server.delegations.revoke(made.delegation_id, actor=actors["root"])
    assert (await server.delegations.add(wanted, actor=actors["root"])).created_by == "root"


async def test_an_administrator_takes_nobodys_power(server: Directories, clock: ManualClock) -> None:
    root = await server.people.active("root")
    with pytest.raises(CredentialRefused, match="themselves"):
        await server.delegations.add(NewDelegation("ada", "root", in_days(clock, 1)), actor=root)


async def test_a_substitute_stands_in_while_somebody_is_away(server: Directories, clock: ManualClock) -> None:
    scope = DelegationScope(max_risk=RiskLevel.MEDIUM)
    made = await server.absences.add("ada", in_days(clock, 5), substitute="EVE", scope=scope)
    assert made.substitute == "eve"
    assert set(await server.absences.at(clock.now())) == {"ada"}
    assert await server.absences.at(in_days(clock, 5)) == {}
    assert await may(server, "eve", clock.now()) is not None
    assert await may(server, "eve", clock.now(), risk=RiskLevel.HIGH) is None
    # Whoever is away may decide all the same.
    assert await may(server, "ada", clock.now()) is not None
    assert await server.absences.end("ada") == 1
    assert await may(server, "eve", clock.now()) is None
    assert await server.absences.at(clock.now()) == {}


async def test_an_absence_longer_than_a_delegation_may_be_has_no_substitute(
    server: Directories, clock: ManualClock
) -> None:
    await server.absences.add("ada", in_days(clock, 90))
    with pytest.raises(IdentityRefused) as refused:
        await server.absences.add("bob", in_days(clock, 90), substitute="eve")
    assert refused.value.field == "until"
    assert set(await server.absences.at(clock.now())) == {"ada"}


async def test_accounts_on_every_channel_are_one_person(server: Directories) -> None:
    for channel, account in (("slack", "U1"), ("slack", "U2"), ("telegram", "99")):
        await server.people.link(channel, account, "\uff21da")
    found = {
        await server.people.resolve(channel, account)
        for channel, account in (("slack", "U1"), ("slack", "U2"), ("telegram", "99"))
    }
    assert found == {"ada"}
    await server.people.suspend("ada")
    assert await server.people.resolve("telegram", "99") is None


async def test_a_new_password_ends_every_session(server: Directories) -> None:
    ada = await server.people.active("ada")
    assert ada is not None
    opened = await server.sessions.open(ada)
    await server.people.set_password("ada", "correct horse")
    assert await server.sessions.resolve(opened.token) is None
