"""What is promised about asking and deciding."""

from __future__ import annotations

from tests.promises.promise import Promise

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
            "tests/timers/test_firing.py::"
            "test_rows_that_were_tampered_with_do_nothing_that_the_terms_do_not_say",
            "tests/approvals/test_failing_closed.py::"
            "test_an_act_whose_audit_entry_cannot_be_written_does_not_happen",
            "tests/approvals/test_crashes.py",
            "tests/approvals/test_life_cycle_stateful.py",
            "tests/approvals/test_every_order.py",
            "tests/approvals/test_rulings.py::"
            "test_silence_never_approves_what_anybody_denied_even_if_the_denial_is_deleted",
            "tests/policies/test_precedence.py::test_a_condition_that_cannot_be_decided_never_allows",
            "tests/policies/test_model.py::"
            "test_nothing_is_allowed_unless_an_allowing_rule_holds_for_certain_at_low_risk",
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
            "tests/timers/test_killed.py::"
            "test_deadlines_survive_workers_killed_at_every_point_and_two_working_at_once",
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
            "tests/approvals/test_every_order.py",
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
            "tests/approvals/test_terms_stateful.py",
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
        tests=(
            "tests/approvals/test_edits.py",
            "tests/approvals/test_attacks_on_terms.py::"
            "test_the_wider_wording_cannot_be_put_back_under_the_approval",
            "tests/web/test_pages_changes.py",
            "tests/proxy/test_edited_calls.py",
            "tests/hook/test_edited_calls.py",
            "tests/gate/test_edited_requests.py",
        ),
    ),
    Promise(
        "A8",
        (
            "A lost, timed-out or cancelled call loses no request, and asking again does not notify "
            "people twice."
        ),
        tests=(
            "tests/proxy/test_proxy.py::"
            "test_cancelling_a_call_that_waits_leaves_the_request_and_calls_nothing",
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
    Promise(
        "A11",
        (
            "What an agent says of its risk can only raise it; no assessor that fails or is slow lowers it "
            "or holds a request up."
        ),
        tests=(
            "tests/risk/test_consensus.py",
            "tests/risk/test_model.py::test_the_model_s_vote_never_lowers_the_level",
            "tests/risk/test_history.py::test_a_long_clean_record_votes_low_but_lowers_nothing",
            "tests/risk/test_corpus.py::test_no_dangerous_action_is_allowed_without_a_person",
        ),
    ),
    Promise(
        "A12",
        (
            "A grant approves only what the words its person read spell out, no oftener and no longer, and "
            "ends with their standing or the rule's terms."
        ),
        tests=(
            "tests/grants/test_shapes.py",
            "tests/grants/test_grants.py",
            "tests/grants/test_api_grants.py",
            "tests/web/test_pages_grants.py",
        ),
    ),
    Promise(
        "A13",
        (
            "Nothing can be minted for a drill, nobody is shown that a request is one before it has ended, "
            "and the log proves it afterwards."
        ),
        tests=(
            "tests/attention/test_canaries.py",
            "tests/attention/test_filing.py::test_of_many_processes_exactly_one_files_it",
            "tests/attention/test_doors.py::test_a_drill_is_an_ordinary_page_until_it_is_decided",
            "tests/attention/test_doors.py::test_over_rest_a_drill_is_told_with_the_answer_to_the_decision",
            "tests/attention/test_grants.py",
        ),
    ),
    Promise(
        "A14",
        (
            "A tap on a card that carries several requests decides exactly those that it showed, each by its "
            "own digest, for somebody who may decide it and in its own quorum, and none that joined later."
        ),
        tests=("tests/notifiers/test_shared_cards.py", "tests/web/test_pages_sharing.py"),
    ),
)
