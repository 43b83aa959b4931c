"""What is promised about the audit log and stored data."""

from __future__ import annotations

from tests.promises.promise import Promise

AUDIT_AND_DATA = (
    Promise(
        "D1",
        (
            "Every change has an audit entry before its effect is visible; without the entry the act does "
            "not happen."
        ),
        tests=(
            "tests/approvals/test_failing_closed.py",
            "tests/executor/test_gate_unavailable.py::"
            "test_what_cannot_be_recorded_is_refused_and_the_token_stays_unspent",
            "tests/executor/test_runner.py::test_a_cancel_that_cannot_be_audited_does_not_happen",
            "tests/identity/test_agents.py::test_nothing_is_added_or_revoked_without_its_audit_entry",
            "tests/server_kit/test_audit_log.py::test_an_act_and_its_entry_are_undone_together",
        ),
    ),
    Promise(
        "D2",
        (
            "Edit, deletion, insertion, reorder, cut tail, rollback and fork of the log are each found "
            "offline."
        ),
        tests=(
            "tests/contract/test_audit_chain.py",
            "tests/server_kit/test_audit_log.py",
            "tests/server_kit/test_audit_archive.py",
            "tests/server_kit/test_audit_courier.py",
            "tests/server_kit/test_audit_verifier.py",
            "tests/executor/test_audit_commands.py",
            "tests/web/api/test_api_audit.py",
            "tests/cli/test_operators.py::test_the_log_verifies_here_and_elsewhere_with_public_keys_alone",
        ),
    ),
    Promise(
        "D3",
        (
            "A slow, locked, full or absent database makes refusals and errors, never lost or invented "
            "approvals."
        ),
        tests=(
            "tests/server_kit/test_database_failures.py",
            "tests/executor/test_full_disk.py",
            "tests/executor/test_short_host.py",
            "tests/executor/test_runner.py::test_an_end_is_recorded_once_the_database_is_back",
        ),
    ),
    Promise(
        "D4",
        "Upgrades migrate every released schema forward; a newer schema is refused with a clear message.",
        tests=(
            "tests/server_kit/test_migrations.py",
            "tests/storage/test_migrations.py",
            "tests/storage/test_upgrades.py",
            "tests/executor/test_migrations.py",
        ),
        missing="There is no earlier release yet whose schema could be migrated; a newer schema is refused.",
    ),
)
