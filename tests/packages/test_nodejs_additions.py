"""Packages of Node.js that people approve: every version of every one they saw, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from executor_mcp.errors import RefusalReason
from executor_mcp.interface.views import execution_answer, languages, validation
from executor_mcp.models import Execution, ExecutionStatus
from executor_mcp.packages.addition_rules import NamePattern
from executor_mcp.packages.completeness import refuse_unless_named
from executor_mcp.packages.errors import PackageNotAllowed, PackageNotInstallable
from executor_mcp.packages.locked import Distribution, Vulnerability
from executor_mcp.packages.planning import for_agents
from executor_mcp.packages.settings import PackageSettings
from executor_mcp.receipts import verify_receipt
from hitl_contract.action_code import Language
from hitl_contract.action_packages import PackageAddition
from server_kit.database.base import Database
from tests.executor.support import refused
from tests.packages.adding import Adding, adding, addition, begun, rules
from tests.packages.npm_support import Registry, npm_with, serving
from tests.packages.support import program

# Starting npm takes a machine that is busy long.
pytestmark = pytest.mark.timeout(180)

OUTER = "@scope/outer@1.0.0"
NEEDS = ["JSONStream@1.3.5", "helper@1.0.0", "inner@1.1.0", "inner@2.0.0"]
RULES = rules(
    ["alpha"],
    nodejs=["@scope/*@^1", "old", "lost", "one", "two"],
    nodejs_never=["jsonstream@<1", "banned-*"],
)


def added(*packages: str, needs: list[str] | None = None) -> dict[str, Any]:
    return addition(*packages, needs=needs or [], language="nodejs")


WHOLE = added(OUTER, needs=NEEDS)


@pytest.fixture
def registry() -> Iterator[Registry]:
    """`outer` needs `inner` in one version, and in another through `helper`."""
    with serving() as made:
        for version in ("1.0.0", "1.1.0", "2.0.0"):
            made.publish("inner", version, {"index.js": f"module.exports = {version[0]};"})
        made.publish("JSONStream", "1.3.5", {"index.js": ""})
        made.publish(
            "helper", "1.0.0", {"index.js": ""}, dependencies={"inner": "^2.0.0", "JSONStream": "^1"}
        )
        made.publish("@scope/outer", "1.0.0", {"index.js": ""}, dependencies={"helper": "*", "inner": "^1"})
        yield made


def executor(store: Database, home: Path, registry: Registry) -> Adding:
    return adding(store, home, npm_with(registry, home / "npm"), allowed=RULES)


def result_of(execution: Execution) -> dict[str, Any]:
    assert execution.outcome is not None
    assert execution.outcome.result_json is not None, execution.outcome
    return json.loads(execution.outcome.result_json)


async def test_an_agent_is_told_all_of_it_and_just_that_is_added_when_the_registry_has_moved_on(
    store: Database, tmp_path: Path, registry: Registry
) -> None:
    async with begun(executor(store, tmp_path, registry)) as one:
        made, service = one.made, one.made.executor.service
        wanting = program(OUTER, language="nodejs").model_dump(mode="json")
        refusal = await refused(made, made.issuer.token(wanting))
        assert (refusal.reason, refusal.step) == (RefusalReason.PACKAGE_NOT_ALLOWED, 6)
        first = validation(await service.validate(wanting))
        assert first.ask_instead == added(OUTER)
        second = validation(await service.validate(first.ask_instead))
        assert (second.would_be_allowed, second.ask_instead) == (False, WHOLE)

        # What was published since then is nothing that anybody saw.
        registry.publish("inner", "1.2.0", {"index.js": "evil"})
        registry.publish("helper", "1.1.0", {"index.js": "evil"})
        token = made.issuer.token(WHOLE)
        one.source.found = {"inner@2.0.0": (Vulnerability(identifier="OSV-1"),)}
        refusal = await refused(made, token)
        assert refusal.reason is RefusalReason.PACKAGE_NOT_ALLOWED
        assert "inner@2.0.0: OSV-1" in refusal.detail
        one.source.silent = True
        refusal = await refused(made, token)
        assert (refusal.reason, refusal.retryable) == (RefusalReason.PACKAGES_UNAVAILABLE, True)
        one.source.silent, one.source.found = False, {}
        assert one.kept() == []

        execution = await service.get(await service.execute(token, WHOLE), wait_seconds=60)
        answer = execution_answer(execution, None)
        assert (answer.status, answer.sandbox.backend, answer.sandbox.runtime) == (
            "completed",
            "packages",
            "npm",
        )
        (package,) = one.shelf.packages()
        (told,) = result_of(execution)["added"]
        assert (told["package"], told["language"], told["nodejs"]) == (OUTER, "nodejs", "18")
        contents = {f"{each['name']}@{each['version']}": each["integrity"] for each in told["contents"]}
        assert sorted(contents) == sorted([OUTER, *NEEDS])
        assert all(integrity.startswith("sha512-") for integrity in contents.values())
        assert execution.receipt is not None
        receipt = verify_receipt(execution.receipt, made.executor.receipt_key.public_keys())
        assert receipt.backend == "packages"
        entries = {entry.event: entry for entry in await made.executor.ledger.audit.tail(20)}
        assert entries["execution.started"].details["installs"] == sorted([OUTER, *NEEDS])
        assert entries["package.added"].details["approved_by"] == ["alice"]
        assert package.approved is not None

        ran = await made.run(wanting)
        assert [(used.package, used.layer) for used in ran.packages] == [(OUTER, package.layer)]
        description, policy = await service.describe()
        shown = languages(description, policy, service.additions).package_additions
        assert shown is not None
        assert (shown.allowed, shown.nodejs_allowed[:2]) == (("alpha",), ("@scope/*@^1", "old"))
        # What an approval has brought goes when the operator no longer allows it to be brought.
        for later in (
            rules(["scope-outer", "outer"]),
            rules(nodejs=["@scope/*@^2"]),
            rules(nodejs=["*"], nodejs_never=["JSONStream"]),
        ):
            assert await one.offer(later).offered(description, Language.NODEJS) == ()
        assert await one.offer(rules(nodejs=["*"])).offered(description, Language.NODEJS) == (OUTER,)


async def test_what_is_not_allowed_or_not_all_of_it_is_refused_and_the_agent_told_what_would_do(
    store: Database, tmp_path: Path, registry: Registry
) -> None:
    registry.publish("modern", "0.9.0")
    registry.publish("modern", "1.0.0", engines={"node": ">=20"})
    registry.publish("old", "1.0.0", dependencies={"modern": "*"})
    registry.publish("banned-thing", "1.0.0")
    registry.publish("one", "1.0.0", dependencies={"banned-thing": "1"})
    async with begun(executor(store, tmp_path, registry)) as one:

        async def says(action: dict[str, Any]) -> tuple[str, Any]:
            found = validation(await one.made.executor.service.validate(action))
            return found.refused_because[0], found.ask_instead

        for action, text in (
            (added("left-pad@1.0.0"), "left-pad@1.0.0 must not be added to this executor"),
            (added("alpha@1.0.0"), "of Node.js's an approval may add: @scope/*@^1, old"),
            (added("@scope/outer@2.0.0"), "@scope/outer@2.0.0 must not be added"),
            (added("@scope/outer@1.0.0-rc.1"), "must not be added"),
            (added(OUTER, needs=["JSONStream@0.9.0"]), "and never: jsonstream@<1, banned-*"),
            (added(OUTER, needs=["JSONStream@0.9.0-rc.1"]), "JSONStream@0.9.0-rc.1 must not be"),
            (added("one@1.0.0"), "banned-thing@1.0.0 must not be added"),
            (added("@scope/outer@1.9.0"), "No matching version found for @scope/outer@1.9.0."),
            (added("lost@1.0.0"), "the package index does not have it"),
            (added("old@1.0.0"), "modern@1.0.0 needs Node.js >=20, and the sandbox has 18.20.4"),
        ):
            refusal, instead = await says(action)
            assert text in refusal, action
            assert instead is None
            assert "127.0.0.1" not in refusal
        refusal, instead = await says(added(OUTER, needs=[*NEEDS[:2], "inner@1.3.0", "inner@2.0.0"]))
        assert (instead, '"needs":["JSONStream@1.3.5"' in refusal) == (WHOLE, True)
        # The newest that npm would take needs another Node.js, and one that people are shown does not.
        whole = validation(
            await one.made.executor.service.validate(added("old@1.0.0", needs=["modern@0.9.0"]))
        )
        assert whole.installs == ("modern@0.9.0", "old@1.0.0"), whole.refused_because
        assert one.kept() == []


async def test_of_several_packages_all_are_added_or_none(
    store: Database, tmp_path: Path, registry: Registry
) -> None:
    registry.publish("one", "1.0.0", {"index.js": ""}, dependencies={"inner": "^1", "two": "1.0.0"})
    registry.publish("two", "1.0.0", {"index.js": ""}, dependencies={"inner": "^2"})
    both = added("one@1.0.0", "two@1.0.0", needs=["inner@1.1.0", "inner@2.0.0"])
    async with begun(executor(store, tmp_path, registry)) as one:
        good = registry.archives["/two/-/two-1.0.0.tgz"]
        one.installer.before_unpacking = lambda: registry.publish("two", "1.0.0", {"index.js": "evil"})
        ended = await one.run(both)
        assert ended.outcome is not None
        assert (ended.status, one.kept()) == (ExecutionStatus.FAILED, [])
        assert "another archive of two@1.0.0" in (ended.outcome.detail or "")
        registry.publish("two", "1.0.0", content=good, dependencies={"inner": "^2"})
        one.installer.before_unpacking = lambda: None
        ended = await one.run(both)
        assert [each["package"] for each in result_of(ended)["added"]] == ["one@1.0.0", "two@1.0.0"]
        assert one.kept() == ["one@1.0.0", "two@1.0.0"]


@pytest.mark.parametrize(
    "needs", [[], NEEDS[:-1], NEEDS[1:], [*NEEDS, "inner@1.0.0"], [*NEEDS[:2], "inner@1.0.0", "inner@2.0.0"]]
)
def test_less_or_more_than_would_be_installed_is_refused_with_the_action_that_names_it_all(
    needs: list[str],
) -> None:
    taken = [_npm(each) for each in (OUTER, *NEEDS)]
    refuse_unless_named(PackageAddition.model_validate(WHOLE), taken)
    with pytest.raises(PackageNotAllowed) as caught:
        refuse_unless_named(PackageAddition.model_validate(added(OUTER, needs=needs)), taken)
    assert caught.value.instead == PackageAddition.model_validate(WHOLE)


def test_what_no_action_can_name_is_refused_with_the_number_of_it() -> None:
    many = [_npm(OUTER), *(_npm(f"need{number}@1.0.0") for number in range(129))]
    for taken, says in ((many, "129 packages, and at most 128"), ([_npm(OUTER), _npm("a@1.0.0+b")], "a@1.0")):
        with pytest.raises(PackageNotAllowed, match=f"no action can name all that comes along.*{says}"):
            refuse_unless_named(PackageAddition.model_validate(added(OUTER)), taken)


def _npm(text: str) -> Distribution:
    name, _, version = text.rpartition("@")
    return Distribution(ecosystem="npm", name=name, version=version)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("@scope/a@1.0.0 needs Node.js >=20", True),
        ("known: @scope/a@1.0.0: OSV-1; '@b/c'", True),
        ("No matching version found for @scope/a@2.0.0.", True),
        ("fetched from git@host/path", False),
        ("see @host/path/more", False),
        ("registry.example/@scope/a is away", False),
        ("GET http://registry.example/@scope%2fa", False),
        ("/home/operator/.npmrc", False),
        ("npm: code EALLOWGIT Refusing to fetch https://x/y", False),
    ],
)
def test_names_with_a_scope_are_shown_to_agents_and_addresses_are_not(said: str, *, shown: bool) -> None:
    assert (for_agents(PackageNotInstallable(said)) == said) is shown


def test_patterns_of_nodejs_are_npms_and_need_a_source_that_knows_npm() -> None:
    osv = {"source": "osv_api", "url": "https://osv.example"}
    given = {"additions": {"nodejs_allowed": ["lodash"]}, "vulnerabilities": osv}
    allowed = PackageSettings.model_validate(given).additions.rules()
    assert allowed.allow("lodash", "4.17.21", Language.NODEJS)
    assert not allowed.allow("lodash", "4.17.21")
    for source, says in (({}, r"vulnerabilities\.source"), ({**osv, "source": "pypi"}, "pypi knows nothing")):
        with pytest.raises(ValidationError, match=says):
            PackageSettings.model_validate({**given, "vulnerabilities": source})
    for bad in ("", "@scope", "a==1", "a@", "a@latest", "a b", "a@1@2", "@a/b/c", "a@npm:b@1", "http://x/y"):
        with pytest.raises(ValidationError, match=r"no pattern of Node\.js packages"):
            PackageSettings.model_validate({"additions": {"nodejs_never": [bad]}})

    def pattern(text: str) -> NamePattern:
        return NamePattern.parse(text, Language.NODEJS)

    some = pattern("@types/*@>=2 <3 || 4.x")
    assert [some.matches("@types/node", each, Language.NODEJS) for each in ("2.5.0", "3.0.0", "4.1.0")] == [
        True,
        False,
        True,
    ]
    assert not some.matches("@types/node", "2.6.0-rc.1", Language.NODEJS)
    assert some.matches_broadly("@Types/Node", "2.6.0-rc.1", Language.NODEJS)
    assert pattern("Coin-*").matches_broadly("coin-miner", "1.0.0", Language.NODEJS)
    assert pattern("*-miner").matches_broadly("@evil/coin-miner", "1.0.0", Language.NODEJS)
    assert not pattern("lodash").matches("lodash.get", "1.0.0", Language.NODEJS)
