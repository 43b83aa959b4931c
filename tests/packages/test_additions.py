"""Packages that people approve: exactly what they saw, all or nothing, once, and off unless it is allowed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.interface.views import execution_answer, languages, validation
from executor_mcp.models import Execution, ExecutionStatus
from executor_mcp.packages.addition_rules import AdditionRules, NamePattern
from executor_mcp.packages.locked import Vulnerability
from executor_mcp.packages.noting import AuditNote
from executor_mcp.packages.requirements import AllowList
from executor_mcp.packages.settings import PackageSettings
from executor_mcp.packages.shelf import Shelf
from executor_mcp.receipts import output_digest, verify_receipt
from executor_mcp.start_record import SharedBounds
from hitl_contract.action_code import Language
from server_kit.database.base import Database
from server_kit.errors import DatabaseUnavailable
from tests.executor.support import Bench, bench, eventually, refused
from tests.executor.test_waiting import working
from tests.packages.adding import Adding, adding, addition, begun, make_index, rules
from tests.packages.support import make_wheel, program

ALPHA = addition("alpha==1.0", needs=["beta==1.5"])
KNOWN = Vulnerability(identifier="OSV-1", summary="bad")


def result_of(execution: Execution) -> dict[str, Any]:
    assert execution.outcome is not None
    assert execution.outcome.result_json is not None
    return json.loads(execution.outcome.result_json)


def detail_of(execution: Execution) -> str:
    assert execution.outcome is not None
    return execution.outcome.detail or ""


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Is there once any code of a package has run."""
    return tmp_path_factory.mktemp("ran") / "ran"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, marker: Path) -> Path:
    return make_index(tmp_path_factory.mktemp("index") / "index", marker)


@pytest_asyncio.fixture
async def one(store: Database, tmp_path: Path, index: Path) -> AsyncIterator[Adding]:
    async with begun(adding(store, tmp_path, index)) as opened:
        yield opened


async def test_an_agent_is_told_what_to_ask_for_and_programs_have_it_once_it_was_approved(
    one: Adding, marker: Path
) -> None:
    made, service = one.made, one.made.executor.service
    wanting = {**program("alpha==1.0").model_dump(mode="json"), "code": "import alpha"}
    refusal = await refused(made, made.issuer.token(wanting))
    assert (refusal.reason, refusal.step) == (RefusalReason.PACKAGE_NOT_ALLOWED, 6)
    assert '{"type":"package_addition","language":"python","packages":["alpha==1.0"]' in refusal.detail
    first = validation(await service.validate(wanting))
    assert first.ask_instead == addition("alpha==1.0")
    second = validation(await service.validate(first.ask_instead))
    assert (second.would_be_allowed, second.ask_instead) == (False, ALPHA)
    whole = validation(await service.validate(ALPHA))
    assert (whole.would_be_allowed, whole.installs) == (True, ("alpha==1.0", "beta==1.5"))
    assert one.kept() == []

    token = made.issuer.token(ALPHA)
    execution = await service.get(await service.execute(token, ALPHA), wait_seconds=30)
    answer = execution_answer(execution, None)
    assert (answer.status, answer.exit_code, answer.sandbox.backend) == ("completed", 0, "packages")
    (package,) = one.shelf.packages()
    (added,) = result_of(execution)["added"]
    assert (added["package"], added["layer"]) == ("alpha==1.0", package.layer)
    contents = {each["name"]: each["sha256"] for each in added["contents"]}
    assert {name: len(hashes[0]) for name, hashes in contents.items()} == {"alpha": 64, "beta": 64}
    assert "name them in packages" in answer.next_step.lower()
    assert not await asyncio.to_thread(marker.exists)

    assert execution.receipt is not None
    assert execution.outcome is not None
    receipt = verify_receipt(execution.receipt, made.executor.receipt_key.public_keys())
    assert (receipt.output_digest, receipt.backend) == (output_digest(execution.outcome), "packages")
    entries = [entry for entry in await made.executor.ledger.audit.tail(20) if "refused" not in entry.event]
    assert [(entry.event, entry.actor) for entry in entries] == [
        ("execution.started", "agent-1"),
        ("package.added", "agent-1"),
        ("execution.finished", "executor"),
    ]
    assert entries[0].details["installs"] == ["alpha==1.0", "beta==1.5"]
    assert entries[1].details["approved_by"] == ["alice"]
    assert (entries[1].details["request_id"], entries[1].details["layer"]) == ("req_1", package.layer)

    again = await refused(made, token)
    assert (again.reason, again.execution_id) == (RefusalReason.ALREADY_USED, execution.execution_id)
    assert validation(await service.validate(wanting)).would_be_allowed
    ran = await made.run(wanting)
    assert [(used.package, used.layer) for used in ran.packages] == [("alpha==1.0", package.layer)]
    assert made.sandbox.prepared == 1

    description, policy = await service.describe()
    shown = languages(description, policy, service.additions).package_additions
    assert shown is not None
    assert shown.allowed == ("alpha", "gamma>=1", "sourceonly")

    # What an approval has brought goes when the operator no longer allows it to be brought.
    for later in (rules(["gamma"]), rules(["alpha"], ["beta"])):
        assert await one.offer(later).offered(description, Language.PYTHON) == ()


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (
            addition("delta==1.0"),
            "an approval may add: alpha, gamma>=1, sourceonly, bad-alpha, and never: Bad_*",
        ),
        (addition("gamma==0.9"), "gamma==0.9 must not be added"),
        (addition("bad-alpha==1.0"), "bad-alpha==1.0 must not be added"),
        (addition("alpha==1.0", needs=["bad-beta==1.0"]), "bad-beta==1.0 must not be added"),
        (addition("alpha==2.0"), "uv could not provide"),
        (addition("sourceonly==1.0"), "uv could not provide"),
        (addition("alpha==1.0"), '"needs":["beta==1.5"]'),
        (addition("alpha==1", needs=["beta==1.5"]), '"packages":["alpha==1.0"]'),
        (addition("alpha==1.0", needs=["beta==1.5", "gamma==1.0"]), '"needs":["beta==1.5"]'),
        (addition("alpha==1.0", needs=["beta==1.4"]), "uv could not provide"),
    ],
)
async def test_what_is_not_allowed_or_not_all_that_is_installed_is_refused_with_the_token_unspent(
    store: Database, tmp_path: Path, index: Path, action: dict[str, Any], says: str
) -> None:
    allowed = rules(["alpha", "gamma>=1", "sourceonly", "bad-alpha"], ["Bad_*"])
    async with begun(adding(store, tmp_path, index, allowed=allowed)) as one:
        refusal = await refused(one.made, one.made.issuer.token(action))
        assert (refusal.reason, refusal.step) == (RefusalReason.PACKAGE_NOT_ALLOWED, 6)
        assert says in refusal.detail
        assert "/" not in refusal.detail.replace("https", "")
        checked = validation(await one.made.executor.service.validate(action))
        assert says in checked.refused_because[0]
        assert one.kept() == []


async def test_what_is_known_to_be_bad_or_not_known_at_all_is_refused_before_the_token_is_spent(
    one: Adding,
) -> None:
    token = one.made.issuer.token(ALPHA)
    one.source.found = {"beta==1.5": (KNOWN,)}
    refusal = await refused(one.made, token)
    assert (refusal.reason, refusal.retryable) == (RefusalReason.PACKAGE_NOT_ALLOWED, False)
    assert "beta==1.5: OSV-1" in refusal.detail
    one.source.silent = True
    refusal = await refused(one.made, token)
    assert (refusal.reason, refusal.step, refusal.retryable) == (RefusalReason.PACKAGES_UNAVAILABLE, 6, True)
    assert one.kept() == []
    # The same token, once the source answers.
    one.source.silent, one.source.found = False, {}
    execution = await one.made.executor.service.execute(token, None)
    ended = await one.made.executor.service.get(execution, wait_seconds=30)
    assert (ended.status, one.kept()) == (ExecutionStatus.COMPLETED, ["alpha==1.0"])


async def test_nothing_is_added_unless_the_settings_allow_it(store: Database, tmp_path: Path) -> None:
    made: Bench = bench(store, tmp_path)
    refusal = await refused(made, made.issuer.token(ALPHA))
    assert (refusal.reason, "packages.additions" in refusal.detail) == (
        RefusalReason.PACKAGE_NOT_ALLOWED,
        True,
    )
    description, policy = await made.executor.service.describe()
    assert languages(description, policy, made.executor.service.additions).package_additions is None
    await made.executor.service.close()

    assert PackageSettings().additions.rules() == AdditionRules()
    with pytest.raises(ValidationError, match=r"vulnerabilities\.source"):
        PackageSettings.model_validate({"additions": {"allowed": ["*"]}})
    for bad in ("alpha; x", "alpha[x]", "", "alpha==", "@scope/x", "alpha @ file"):
        with pytest.raises(ValidationError, match="no pattern of packages"):
            PackageSettings.model_validate({"additions": {"never": [bad]}})
    some = NamePattern.parse("Types_*>=2,<3")
    assert some.matches("types-six", "2.5", Language.PYTHON)
    assert not some.matches("types-six", "3.0", Language.PYTHON)
    assert not some.matches("mytypes-six", "2.5", Language.PYTHON)
    assert not some.matches("types-six", "2.6rc1", Language.PYTHON)
    assert NamePattern.parse("types-*>=2.6rc1").matches("types-six", "2.6rc1", Language.PYTHON)
    listed = AllowList(["six>=1", "rich>=2.0rc1"])
    assert [listed.allows("six", "2.0rc1"), listed.allows("rich", "2.0rc2")] == [False, True]
    assert rules(["*"], ["types-*"]).forbid("types-six", "1.0rc1")


async def test_what_is_stopped_adds_nothing(store: Database, tmp_path: Path, index: Path) -> None:
    async with begun(adding(store, tmp_path, index, wall_seconds=0.3)) as one:
        one.installer.go.clear()
        late = await one.run(ALPHA)
        assert (late.status, one.kept()) == (ExecutionStatus.TIMED_OUT, [])
    async with begun(adding(store, tmp_path, index)) as one:
        one.installer.go.clear()
        service = one.made.executor.service
        execution = await service.execute(one.made.issuer.token(ALPHA), None)
        await asyncio.wait_for(one.installer.unpacking.wait(), 10)
        await service.cancel(execution)
        ended = await service.get(execution, wait_seconds=5)
        assert (ended.status, detail_of(ended), one.kept()) == (
            ExecutionStatus.CANCELLED,
            "nothing was added",
            [],
        )
        # A shutdown in the middle is an interruption.
        one.installer.unpacking.clear()
        execution = await service.execute(one.made.issuer.token(ALPHA), None)
        await asyncio.wait_for(one.installer.unpacking.wait(), 10)
        await service.close()
        assert (await service.get(execution)).status is ExecutionStatus.INTERRUPTED
        assert one.kept() == []
    assert "package.added" not in {event for event, _, _ in await one.made.events()}


async def test_what_is_being_kept_is_kept_to_the_end_whoever_cancels(
    one: Adding, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting, go, added = asyncio.Event(), asyncio.Event(), AuditNote.added

    async def held(*given: Any) -> None:
        noting.set()
        await go.wait()
        await added(*given)

    monkeypatch.setattr(AuditNote, "added", held)
    service = one.made.executor.service
    execution = await service.execute(one.made.issuer.token(ALPHA), None)
    await asyncio.wait_for(noting.wait(), 10)
    await service.cancel(execution)
    await service.get(execution, wait_seconds=0.1)
    go.set()
    ended = await service.get(execution, wait_seconds=10)
    assert (ended.status, one.kept()) == (ExecutionStatus.COMPLETED, ["alpha==1.0"])


async def test_files_that_are_not_those_that_were_locked_are_not_kept(
    store: Database, tmp_path: Path
) -> None:
    index = make_index(tmp_path / "index", tmp_path / "ran")
    async with begun(adding(store, tmp_path, index)) as one:
        one.installer.before_unpacking = lambda: make_wheel(index, "beta", "1.5", {"beta/evil.py": "1"})
        ended = await one.run(ALPHA)
        assert (ended.status, one.kept()) == (ExecutionStatus.FAILED, [])
        assert detail_of(ended).startswith("nothing was added")
        assert str(tmp_path) not in detail_of(ended)


async def test_what_takes_more_room_than_it_may_is_not_kept(store: Database, tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", tmp_path / "ran")
    make_wheel(index, "gamma", "2.0", {"gamma/data.py": "#" * 3_000_000})
    async with begun(adding(store, tmp_path, index, disk_mb=1)) as one:
        ended = await one.run(addition("gamma==2.0"))
        assert (ended.status, one.kept()) == (ExecutionStatus.FAILED, [])
        assert "more than 1 MiB" in detail_of(ended)
    async with begun(adding(store, tmp_path, index, disk_mb=10**9)) as one:
        refusal = await refused(one.made, one.made.issuer.token(ALPHA))
        assert (refusal.reason, refusal.retryable) == (RefusalReason.SANDBOX_UNAVAILABLE, True)


async def test_of_several_executors_one_adds_on_one_token_and_each_on_its_own(
    store: Database, tmp_path: Path, index: Path
) -> None:
    first = adding(store, tmp_path, index)
    second = adding(store, tmp_path, index, issuer=first.made.issuer)
    async with begun(first), begun(second):
        services = (first.made.executor.service, second.made.executor.service)
        shared, own = first.made.issuer.token(ALPHA), first.made.issuer.token(ALPHA)

        async def use(number: int, token: str) -> str:
            try:
                execution = await services[number].execute(token, None)
            except Refused as refusal:
                return refusal.reason.value
            return (await services[number].get(execution, wait_seconds=30)).status.value

        tokens = ((0, shared), (1, shared), (1, own), (0, own))
        outcomes = await asyncio.gather(*(use(*each) for each in tokens))
        assert sorted(outcomes) == ["already_used", "already_used", "completed", "completed"]
        assert first.kept() == ["alpha==1.0"]
        both = await services[0].get(
            (await first.run(addition("gamma==1.0", "alpha==1.0", needs=["beta==1.5"]))).execution_id
        )
        assert [each["package"] for each in result_of(both)["added"]] == ["gamma==1.0", "alpha==1.0"]
        assert first.kept() == second.kept() == ["alpha==1.0", "gamma==1.0"]


async def test_an_addition_waits_for_a_place_like_a_program_and_begins_by_itself(
    store: Database, tmp_path: Path, index: Path
) -> None:
    bounds = SharedBounds(most_waiting=2)
    async with begun(adding(store, tmp_path, index, bounds=bounds, places=1)) as one:
        service, sandbox = one.made.executor.service, one.made.sandbox
        sandbox.hold = True
        await service.execute(one.made.issuer.token(), None)
        await eventually(lambda: len(sandbox.runs) == 1)
        waiting = await service.execute(one.made.issuer.token(ALPHA), None)
        assert (await service.get(waiting)).ahead == 0
        async with working(one.made):
            sandbox.runs[0].end(sandbox.outcome)
            ended = await service.get(waiting, wait_seconds=30)
        assert (ended.status, one.kept()) == (ExecutionStatus.COMPLETED, ["alpha==1.0"])
        names = [name for name, subject, _ in await one.made.events() if subject == waiting]
        assert names == ["execution.queued", "execution.started", "execution.finished"]


async def test_what_cannot_be_recorded_is_not_added(one: Adding, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(AuditNote, "added", away)
    ended = await one.run(ALPHA)
    assert (ended.status, one.kept()) == (ExecutionStatus.FAILED, [])
    assert "could not be recorded" in detail_of(ended)


async def test_what_a_dead_process_was_building_is_removed_and_what_a_living_one_builds_is_not(
    tmp_path: Path,
) -> None:
    shelf = Shelf(tmp_path)
    left = tmp_path / ".staging-dead"
    (left / "layer").mkdir(parents=True)
    with shelf.staging() as building:
        assert Shelf(tmp_path).remove_leftovers() == 1
        assert (left.exists(), building.exists()) == (False, True)
    assert shelf.remove_leftovers() == 0
