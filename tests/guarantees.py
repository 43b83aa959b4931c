"""What this project promises, and for each promise the tests that would go red if it were broken.

A promise with tests and without `missing` is kept. One with both is kept in the part that its tests show;
`missing` says what is not there. One without tests is not kept, and nothing that users read may claim it.
`docs/guarantees.md` shows the same table to readers, and `tests/architecture/test_guarantees.py` checks both
against the tests that exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How far a promise is kept."""

    KEPT = "kept"
    IN_PART = "in part"
    NOT_YET = "not yet"


@dataclass(frozen=True)
class Promise:
    """One line of what is promised; `tests` are module paths or pytest node ids without parameters."""

    name: str
    text: str
    tests: tuple[str, ...] = ()
    missing: str = ""

    @property
    def standing(self) -> Standing:
        if not self.tests:
            return Standing.NOT_YET
        return Standing.IN_PART if self.missing else Standing.KEPT


APPROVAL = (
    Promise(
        "A1",
        (
            "Nothing is approved by silence, error, restart or race; only by enough eligible people or by "
            "a rule that names itself."
        ),
        tests=(
            "tests/approvals/test_state_machine.py::"
            "test_no_sequence_of_events_without_a_reached_quorum_approves",
            "tests/approvals/test_deadlines.py::test_silence_times_a_request_out_and_everybody_is_told",
            "tests/approvals/test_deadlines.py::test_a_late_timer_never_overrides_a_human",
            "tests/approvals/test_failing_closed.py::"
            "test_an_act_whose_audit_entry_cannot_be_written_does_not_happen",
            "tests/approvals/test_crashes.py",
            "tests/approvals/test_life_cycle_stateful.py",
        ),
    ),
    Promise(
        "A2",
        (
            "An acknowledged request survives kill -9, with its decisions, deadlines and undelivered "
            "notifications."
        ),
        tests=(
            "tests/approvals/test_crashes.py::"
            "test_after_a_kill_everything_acknowledged_is_there_and_the_work_goes_on",
            "tests/server_kit/test_durability.py",
            "tests/notifiers/test_delivery.py::test_news_owed_from_before_a_start_goes_out_after_it",
        ),
    ),
    Promise(
        "A3",
        "A terminal state never changes; of a decision and a timeout that race exactly one wins.",
        tests=(
            "tests/approvals/test_state_machine.py::test_a_terminal_status_never_changes",
            "tests/approvals/test_deadlines.py::"
            "test_of_a_decision_and_a_timeout_that_race_one_wins_and_all_are_told_the_same",
            "tests/approvals/test_waiting.py::test_two_processes_deciding_at_once_end_a_request_once",
        ),
    ),
    Promise(
        "A4",
        (
            "Quorum counts distinct eligible people once, never the requester; eligibility is checked "
            "again at minting."
        ),
        tests=(
            "tests/approvals/test_quorum.py",
            "tests/approvals/test_life_cycle.py::"
            "test_a_quorum_of_two_needs_two_people_and_counts_a_double_click_once",
            "tests/approvals/test_life_cycle.py::test_the_requester_does_not_decide_under_any_spelling",
            "tests/approvals/test_collecting.py::"
            "test_an_approver_who_lost_the_right_to_decide_no_longer_counts_at_minting",
            "tests/notifiers/test_end_to_end_taps.py::"
            "test_two_approvers_on_two_chats_make_a_quorum_and_each_card_shows_the_progress",
        ),
    ),
    Promise(
        "A5",
        (
            "No agent's credential can decide or see other agents' requests and tokens; no person's can "
            "mint without a decision."
        ),
        tests=(
            "tests/end_to_end/test_ask_decide_run_once.py::"
            "test_an_agent_with_every_credential_it_can_have_approves_nothing",
            "tests/web/api/test_api_approvals.py::test_an_agents_key_never_decides",
            "tests/web/api/test_api_approvals.py::test_another_agents_request_does_not_exist",
            "tests/approvals/test_life_cycle.py::"
            "test_another_agent_neither_sees_a_request_nor_collects_its_token",
            "tests/cli/test_requests.py::test_an_agents_key_is_no_password",
            "tests/approvals/test_proof.py",
        ),
    ),
    Promise(
        "A6",
        (
            "Every channel shows a rendering of exactly the approved bytes; where something is hidden "
            "there is no Approve button."
        ),
        tests=(
            "tests/contract/test_display.py",
            "tests/notifiers/conformance.py::test_a_card_shows_all_that_will_run_letter_by_letter",
            "tests/notifiers/conformance.py::test_agent_written_text_is_inert_wherever_it_stands",
            "tests/notifiers/conformance.py::test_what_does_not_fit_is_counted_and_takes_approve_away",
            "tests/approvals/test_life_cycle.py::test_a_decision_about_other_bytes_is_refused",
            "tests/web/test_pages_forms.py::test_the_whole_action_is_shown_however_long_it_is",
            "tests/web/test_pages_browser.py::test_what_an_agent_writes_runs_nothing_and_moves_nothing",
        ),
    ),
    Promise(
        "A7",
        (
            "An approver's edit changes the digest, voids earlier approvals and keeps all three actions "
            "on record."
        ),
        missing="There is no editing of a request yet.",
    ),
    Promise(
        "A8",
        (
            "A lost, timed-out or cancelled call loses no request, and asking again does not notify "
            "people twice."
        ),
        tests=(
            "tests/tools/test_tools_over_http.py::test_a_call_that_times_out_leaves_the_request_pending",
            "tests/tools/test_tools_over_http.py::test_a_dropped_connection_leaves_the_request_pending",
            "tests/approvals/test_asking_again.py",
            "tests/approvals/test_waiting.py::"
            "test_a_cancelled_waiter_leaves_the_request_and_the_other_waiters_alone",
        ),
    ),
    Promise(
        "A9",
        "Each decision reaches every open card and a waiting agent, also across processes and replicas.",
        tests=(
            "tests/notifiers/test_end_to_end_taps.py::"
            "test_a_decision_made_elsewhere_closes_every_card_within_a_second",
            "tests/approvals/test_waiting.py::"
            "test_a_decision_in_another_process_wakes_a_waiter_within_150_milliseconds",
            "tests/web/api/test_api_doors.py::test_two_replicas_on_postgresql_share_everything",
            "tests/notifiers/test_delivery.py",
        ),
    ),
    Promise(
        "A10",
        "A GET decides nothing; a forged, replayed or late callback decides nothing and is recorded.",
        tests=(
            "tests/web/api/test_api_approvals.py::test_a_get_decides_nothing",
            "tests/web/test_pages_forms.py::test_a_get_decides_nothing_whatever_it_carries",
            "tests/notifiers/test_end_to_end_taps.py::test_a_forged_callback_decides_nothing_and_is_audited",
            "tests/notifiers/test_end_to_end_taps.py::test_the_same_press_delivered_twice_is_handled_once",
            "tests/notifiers/test_end_to_end_taps.py::"
            "test_a_tap_by_an_unmapped_user_decides_nothing_and_is_audited",
        ),
        missing=(
            "Signed HTTP callbacks and one-time links do not exist yet; Socket Mode and long polling are "
            "tested."
        ),
    ),
)

TOKEN = (
    Promise(
        "T1",
        "The executor runs only what the digest names: a change of any byte of any field is refused.",
        tests=(
            "tests/contract/test_action_mutations.py",
            "tests/executor/test_gate.py::test_any_change_of_the_action_is_refused",
            "tests/executor/test_gate.py::test_an_action_that_the_issuer_swapped_is_refused",
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
        ),
    ),
    Promise(
        "T4",
        "The private key is readable by the approval server alone; rotation loses no valid token.",
        tests=(
            "tests/approvals/test_keys.py",
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
            "tests/approvals/test_proof.py",
            "tests/approvals/test_seals.py",
            "tests/identity/test_people.py::test_a_person_or_role_written_past_the_server_does_not_count",
        ),
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
        ),
        missing="No test yet searches the metrics and traces of a whole run.",
    ),
)

EXECUTION = (
    Promise(
        "E1",
        "Without a valid token nothing is run, written or pulled, and Docker is not called.",
        tests=(
            "tests/end_to_end/test_ask_decide_run_once.py::test_what_is_not_approved_does_not_run",
            "tests/executor/test_gate.py::test_a_forged_token_gets_one_flat_refusal_and_touches_nothing",
            "tests/executor/test_gate.py::test_an_admitted_call_comes_from_the_gate_alone_and_is_taken_once",
        ),
    ),
    Promise(
        "E2",
        (
            "An approved action runs exactly once; a crash in the middle is reported as interrupted, "
            "never re-run."
        ),
        tests=(
            "tests/end_to_end/test_ask_decide_run_once.py::"
            "test_what_is_approved_runs_exactly_once_and_its_result_stays",
            "tests/executor/test_processes.py::"
            "test_a_process_killed_at_any_step_never_runs_a_program_twice_nor_loses_its_record",
            "tests/executor/test_transports.py::"
            "test_a_server_killed_while_a_program_runs_reports_it_as_interrupted",
            "tests/executor/test_gate.py::test_a_token_spent_twice_is_refused_with_its_execution_id",
        ),
    ),
    Promise(
        "E3",
        (
            "Programs cannot reach the network, the host's files, the engine or other executions, nor "
            "outlive their end."
        ),
        tests=(
            "tests/sandbox/conformance/test_isolation.py",
            "tests/sandbox/test_seccomp.py",
            "tests/sandbox/conformance/test_life.py::test_what_a_killed_executor_left_is_ended_and_removed",
        ),
    ),
    Promise(
        "E4",
        "Memory, cpu, process, disk, inode, output, file and time bounds hold against hostile programs.",
        tests=(
            "tests/sandbox/conformance/test_bounds.py",
            "tests/sandbox/conformance/test_files.py::"
            "test_more_files_or_bytes_than_the_bounds_are_left_out_and_said_so",
        ),
    ),
    Promise(
        "E5",
        "No state passes from one execution to another.",
        tests=(
            "tests/sandbox/conformance/test_files.py::test_nothing_passes_from_one_run_to_the_next",
            "tests/sandbox/conformance/test_life.py::"
            "test_a_prepared_sandbox_runs_nothing_until_it_is_started_and_only_once",
        ),
    ),
    Promise(
        "E6",
        "Output of any bytes harms no reader: bounded, marked truncated, made safe where shown.",
        tests=(
            "tests/sandbox/conformance/test_languages.py::"
            "test_output_of_any_bytes_comes_through_unchanged_and_while_it_is_made",
            "tests/sandbox/conformance/test_bounds.py::"
            "test_a_flood_of_output_is_bounded_on_both_streams_and_the_program_goes_on",
            "tests/sandbox/test_untrusted_frames.py",
        ),
    ),
    Promise(
        "E7",
        "Cancel stops a program within 5 s; a disconnected client leaves none running past its limit.",
        tests=(
            "tests/sandbox/conformance/test_bounds.py::test_cancel_ends_everything_within_seconds",
            "tests/sandbox/conformance/test_bounds.py::"
            "test_a_program_that_ignores_every_signal_is_ended_at_its_wall_limit",
            "tests/executor/test_transports.py::test_a_program_that_runs_is_cancelled_within_five_seconds",
        ),
    ),
    Promise(
        "E8",
        (
            "Every execution has a receipt that binds token, action, output and image, checkable with "
            "public keys."
        ),
        tests=(
            "tests/executor/test_runner.py::"
            "test_a_receipt_binds_token_action_output_and_image_and_needs_public_keys_alone",
            "tests/executor/test_runner.py::test_a_receipt_that_was_changed_or_signed_by_another_is_not_one",
        ),
    ),
)

AUDIT_AND_DATA = (
    Promise(
        "D1",
        (
            "Every change has an audit entry before its effect is visible; without the entry the act does "
            "not happen."
        ),
        tests=(
            "tests/approvals/test_failing_closed.py",
            "tests/executor/test_gate.py::"
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
            "tests/executor/test_runner.py::test_an_end_is_recorded_once_the_database_is_back",
        ),
    ),
    Promise(
        "D4",
        "Upgrades migrate every released schema forward; a newer schema is refused with a clear message.",
        tests=(
            "tests/server_kit/test_migrations.py",
            "tests/storage/test_migrations.py",
            "tests/executor/test_migrations.py",
        ),
        missing="There is no earlier release yet whose schema could be migrated; a newer schema is refused.",
    ),
)

DOORS = (
    Promise(
        "W1",
        (
            "Every route and tool needs a credential except health, JWKS and login; loopback is not a "
            "credential."
        ),
        tests=(
            "tests/web/api/test_api_doors.py::"
            "test_every_described_route_but_the_open_ones_needs_a_credential",
            "tests/tools/test_tools_over_http.py::test_nobody_without_an_agents_key_reaches_a_tool",
            "tests/web/test_pages_forms.py::test_every_page_leads_a_stranger_to_the_sign_in",
            "tests/executor/test_transports.py::"
            "test_with_required_keys_every_call_needs_one_and_lists_show_the_agents_own",
        ),
    ),
    Promise(
        "W2",
        (
            "Session, CSRF, CSP, clickjacking, redirect, injection and brute-force protections hold "
            "everywhere."
        ),
        tests=(
            "tests/web/test_pages_forms.py",
            "tests/web/test_pages_browser.py",
            "tests/tools/test_tools_over_http.py::test_a_foreign_host_or_origin_is_refused",
            "tests/identity/test_people.py::test_guessing_is_refused_before_the_password_is_looked_at",
        ),
    ),
    Promise(
        "W3",
        "Bad input gets a 4xx with the field and the reason, never a 5xx, a hang or a partial effect.",
        tests=(
            "tests/web/api/test_api_approvals.py::"
            "test_each_mistake_gets_a_4xx_that_names_it_and_stores_nothing",
            "tests/tools/test_tools_over_http.py::"
            "test_each_mistake_is_named_with_what_is_allowed_and_nothing_is_stored",
            "tests/tools/test_tools_over_http.py::test_ten_megabytes_of_code_are_answered_and_not_stored",
        ),
        missing="The doors are not yet fuzzed from their schemas.",
    ),
    Promise(
        "W4",
        "Rate limits hold per agent, person, address and endpoint, and cannot be evaded by header tricks.",
        tests=(
            "tests/web/api/test_api_doors.py::test_sign_in_is_throttled_whatever_the_headers_say",
            "tests/web/api/test_api_doors.py::test_wrong_api_keys_are_throttled_and_right_ones_are_not",
            "tests/identity/test_people.py::test_an_address_that_tries_many_people_is_refused",
        ),
        missing="Only wrong credentials are slowed down; how often a valid one may call has no limit yet.",
    ),
)

PROMISES = (*APPROVAL, *TOKEN, *EXECUTION, *AUDIT_AND_DATA, *DOORS)
