"""The gate when something it needs is away, full or busy: it refuses, and the token stays unspent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor_mcp.errors import RefusalReason, Refused, RevocationsUnavailable
from executor_mcp.quotas import Quota, QuotaRules
from executor_mcp.sandbox.errors import SandboxBusy, SandboxRefused, SandboxUnavailable
from executor_mcp.start_record import SharedBounds
from server_kit.database.base import Database
from server_kit.errors import AuditUnavailable, DatabaseUnavailable
from tests.executor.support import Bench, bench, eventually, refused


async def test_an_issuer_without_keys_leaves_the_token_unspent(ready: Bench) -> None:
    token = ready.issuer.token()
    ready.source.away = True
    refusal = await refused(ready, token)
    assert (refusal.reason, refusal.retryable) == (RefusalReason.KEYS_UNAVAILABLE, True)

    ready.source.away = False
    assert await ready.executor.service.execute(token, None)


async def test_an_action_that_cannot_be_read_leaves_the_token_unspent(ready: Bench) -> None:
    claims = ready.issuer.claims()
    action = ready.issuer.actions.pop(claims.action_digest)
    refusal = await refused(ready, ready.issuer.sign(claims))
    assert refusal.reason is RefusalReason.ACTION_UNAVAILABLE

    ready.issuer.actions[claims.action_digest] = action
    assert await ready.executor.service.execute(ready.issuer.sign(claims), None)


class WithdrawnAtTheIssuer:
    """The issuer's list, which from one asking on cannot be read or names the token."""

    def __init__(self, *, away_from: int = 99, revoked_from: int = 99) -> None:
        self.away_from = away_from
        self.revoked_from = revoked_from
        self.asked = 0

    async def is_revoked(self, token_id: str) -> bool:
        self.asked += 1
        if self.asked >= self.away_from:
            raise RevocationsUnavailable("the list is older than its lifetime")
        return self.asked >= self.revoked_from


# The second asking comes after the wait for a place and a sandbox.
@pytest.mark.parametrize("asking", [1, 2])
async def test_a_list_of_withdrawn_tokens_that_cannot_be_read_leaves_the_token_unspent(
    store: Database, tmp_path: Path, asking: int
) -> None:
    withdrawn = WithdrawnAtTheIssuer(away_from=asking)
    made = bench(store, tmp_path, issuer_revocations=withdrawn)
    token = made.issuer.token()
    refusal = await refused(made, token)
    assert (refusal.reason, refusal.retryable) == (RefusalReason.REVOCATIONS_UNAVAILABLE, True)

    withdrawn.away_from = 99
    assert await made.executor.service.execute(token, None)
    await made.executor.service.close()


@pytest.mark.parametrize("asking", [1, 2])
async def test_a_token_withdrawn_at_the_issuer_is_refused_for_good_even_while_it_waits(
    store: Database, tmp_path: Path, asking: int
) -> None:
    made = bench(store, tmp_path, issuer_revocations=WithdrawnAtTheIssuer(revoked_from=asking))
    refusal = await refused(made, made.issuer.token())
    assert (refusal.reason, refusal.retryable) == (RefusalReason.REVOKED, False)
    assert await made.counts() == (0, 0)
    await made.executor.service.close()


@pytest.mark.parametrize("where", ["fail_describe", "fail_prepare"])
async def test_an_engine_that_is_away_leaves_the_token_unspent(ready: Bench, where: str) -> None:
    token = ready.issuer.token()
    setattr(ready.sandbox, where, SandboxUnavailable("the engine does not answer"))
    refusal = await refused(ready, token)
    assert (refusal.reason, refusal.retryable) == (RefusalReason.SANDBOX_UNAVAILABLE, True)

    setattr(ready.sandbox, where, None)
    assert await ready.executor.service.execute(token, None)


async def test_a_sandbox_that_is_busy_says_for_how_long_and_leaves_the_token_unspent(ready: Bench) -> None:
    ready.sandbox.fail_prepare = SandboxBusy("3 callers wait for a warm sandbox", 4.2)
    token = ready.issuer.token()
    refusal = await refused(ready, token)
    assert refusal.reason is RefusalReason.BUSY
    assert "try again in about 4 s" in str(refusal)
    assert "unspent" in str(refusal)
    ready.sandbox.fail_prepare = None
    assert await ready.executor.service.execute(token, None)


async def test_a_host_without_processes_is_told_from_a_defect(ready: Bench) -> None:
    token = ready.issuer.token()
    failures: Any = ready.sandbox
    failures.fail_describe = RuntimeError("can't start new thread")
    refusal = await refused(ready, token)
    assert (refusal.reason, refusal.retryable) == (RefusalReason.SANDBOX_UNAVAILABLE, True)
    assert "out of pids" in refusal.detail
    failures.fail_describe = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        await ready.executor.service.execute(token, None)
    failures.fail_describe = None
    assert await ready.executor.service.execute(token, None)


async def test_what_the_sandbox_does_not_offer_is_refused_for_good(ready: Bench) -> None:
    ready.sandbox.fail_prepare = SandboxRefused("profile trusted is not offered")

    assert (await refused(ready, ready.issuer.token())).reason is RefusalReason.NOT_ALLOWED_HERE


async def test_without_a_free_place_the_token_stays_unspent(store: Database, tmp_path: Path) -> None:
    made = bench(store, tmp_path, places=1, patience_seconds=0.05)
    made.sandbox.hold = True
    token = made.issuer.token()
    first = await made.executor.service.execute(made.issuer.token(), None)
    await eventually(lambda: len(made.sandbox.runs) == 1)

    refusal = await refused(made, token)
    assert (refusal.reason, refusal.retryable) == (RefusalReason.BUSY, True)

    await made.executor.service.cancel(first)
    await made.executor.service.get(first, wait_seconds=10)
    made.sandbox.hold = False
    assert await made.executor.service.execute(token, None)
    await made.executor.service.close()


@pytest.mark.parametrize("error", [DatabaseUnavailable("the disk is full"), AuditUnavailable("no entry")])
async def test_what_cannot_be_recorded_is_refused_and_the_token_stays_unspent(
    ready: Bench, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ready.issuer.token()
    append = ready.executor.ledger.audit.append

    async def fail_started(connection: Any, name: str, **fields: Any) -> Any:
        if name == "execution.started":
            raise error
        return await append(connection, name, **fields)

    monkeypatch.setattr(ready.executor.ledger.audit, "append", fail_started)
    refusal = await refused(ready, token)
    assert (refusal.reason, refusal.retryable) == (RefusalReason.STORAGE_UNAVAILABLE, True)
    assert ready.sandbox.discarded == 1

    monkeypatch.undo()
    assert await ready.executor.service.execute(token, None)


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_a_database_that_cannot_be_read_refuses(
    store: Database, tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where there are quotas they are the third thing that is looked at.
    quotas = QuotaRules(each_agent=Quota(executions=9))
    ready = bench(store, tmp_path, bounds=SharedBounds(quotas=quotas))
    token, read, reads = ready.issuer.token(), ready.database.read, 0

    async def fail(operation: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == failing:
            raise DatabaseUnavailable("locked")
        return await read(operation)

    monkeypatch.setattr(ready.database, "read", fail)
    with pytest.raises(Refused) as caught:
        await ready.executor.service.execute(token, None)
    monkeypatch.undo()

    assert caught.value.reason is RefusalReason.STORAGE_UNAVAILABLE
    assert await ready.counts() == (0, 0)
    assert not ready.sandbox.prepared


async def test_a_refusal_stands_when_it_cannot_be_audited(
    ready: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(operation: Any) -> Any:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(ready.database, "write", fail)
    with pytest.raises(Refused) as caught:
        await ready.executor.service.execute("hello", None)
    monkeypatch.undo()

    assert caught.value.reason is RefusalReason.INVALID_TOKEN
