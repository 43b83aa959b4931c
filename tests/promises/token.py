"""What is promised about capability tokens."""

from __future__ import annotations

from tests.promises.promise import Promise

TOKEN = (
    Promise(
        "T1",
        "The executor runs only what the digest names: a change of any byte of any field is refused.",
        tests=(
            "tests/contract/test_action_mutations.py",
            "tests/executor/test_gate.py::test_any_change_of_the_action_is_refused",
            "tests/executor/test_gate.py::test_an_action_that_the_issuer_swapped_is_refused",
            "tests/executor/test_referenced_files.py::"
            "test_no_other_bytes_run_than_those_that_were_approved_and_the_token_stays_unspent",
            "tests/end_to_end/test_ask_decide_run_once.py::"
            "test_another_program_under_a_good_token_is_refused_and_leaves_the_token_unspent",
        ),
    ),
    Promise(
        "T2",
        "A token is spent at most once, across processes, replicas, crashes and simultaneous use.",
        tests=(
            "tests/executor/test_processes.py::"
            "test_of_a_hundred_uses_of_one_token_over_four_processes_one_runs",
            "tests/executor/test_processes.py::"
            "test_a_process_killed_at_any_step_never_runs_a_program_twice_nor_loses_its_record",
            "tests/executor/test_gate.py::test_of_a_hundred_simultaneous_uses_one_runs",
            "tests/executor/test_gate.py::test_a_fresh_token_of_a_spent_approval_is_refused_too",
        ),
    ),
    Promise(
        "T3",
        (
            "Forged, confused, misdirected, untimely, revoked and malformed tokens are refused cheaply "
            "and audited."
        ),
        tests=(
            "tests/contract/test_capability_tokens.py",
            "tests/contract/test_vectors.py",
            "tests/executor/test_gate.py::test_a_forged_token_gets_one_flat_refusal_and_touches_nothing",
            "tests/executor/test_gate.py::test_a_signed_token_that_does_not_fit_is_refused_with_its_reason",
            "tests/executor/test_gate.py::test_a_token_of_impossible_shape_is_refused_at_the_first_step",
            "tests/executor/test_revocation_list.py",
            "tests/end_to_end/test_revoked_token.py",
        ),
    ),
    Promise(
        "T4",
        "The private key is readable by the approval server alone; rotation loses no valid token.",
        tests=(
            "tests/approvals/test_keys.py",
            "tests/cli/test_sealed_home.py",
            "tests/attacks/test_process_memory.py",
            "tests/approvals/test_collecting.py::test_a_token_id_survives_a_rotation_of_the_signing_key",
            "tests/executor/test_transports.py::test_the_executor_works_with_the_approval_server_absent",
            "tests/architecture/test_import_contracts.py",
        ),
    ),
    Promise(
        "T5",
        "Who can write the database but does not hold the server's key cannot make an approval.",
        tests=(
            "tests/approvals/test_attacker.py",
            "tests/approvals/test_attacks_on_terms.py",
            "tests/approvals/test_proof.py",
            "tests/approvals/test_seals.py",
            "tests/approvals/test_sealed_keys.py",
            "tests/attacks/test_database_attacker.py",
            "tests/identity/test_people.py::test_a_person_or_role_written_past_the_server_does_not_count",
            "tests/identity/test_set_back_rows.py",
        ),
        missing="A replica that was down during a change does not notice a database put back whole.",
    ),
    Promise(
        "T6",
        (
            "Tokens, keys, passwords, code and input never appear in logs, errors, metrics, traces or "
            "notifications."
        ),
        tests=(
            "tests/server_kit/test_logging.py",
            "tests/server_kit/test_problems.py::test_an_invalid_request_does_not_repeat_what_was_sent",
            "tests/server_kit/test_database.py::"
            "test_an_error_of_a_statement_does_not_repeat_what_was_to_be_stored",
            "tests/server_kit/test_settings.py::test_no_message_shows_a_secret",
            "tests/notifiers/conformance.py::test_nothing_secret_is_logged_when_all_goes_well",
            "tests/executor/test_gate.py::"
            "test_an_audit_entry_of_a_refusal_holds_nothing_that_an_unsigned_token_claims",
            "tests/executor/test_metrics_and_traces.py::"
            "test_a_run_is_a_span_of_the_callers_trace_linked_to_the_request_and_free_of_secrets",
            "tests/executor/test_metrics_and_traces.py::"
            "test_no_label_is_an_agents_choice_and_no_number_of_them_grows",
            "tests/server_kit/test_trace_scrubbing.py",
            "tests/end_to_end/test_traces.py",
        ),
        missing="No test yet searches the metrics of a whole run.",
    ),
)
