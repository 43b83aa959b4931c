"""What is promised about running programs."""

from __future__ import annotations

from tests.promises.promise import Promise

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
            "test_a_server_killed_while_a_program_runs_reports_it_as_interrupted_with_its_checkpoint",
            "tests/executor/test_gate.py::test_a_token_spent_twice_is_refused_with_its_execution_id",
            "tests/executor/test_waiting_processes.py::"
            "test_what_waits_survives_executors_that_are_killed_at_every_step_and_runs_once",
            "tests/executor/test_waiting_processes.py::"
            "test_of_three_executors_of_which_one_is_killed_each_execution_is_begun_by_one",
            "tests/executor/test_waiting.py::"
            "test_what_the_token_does_not_stand_behind_is_ended_and_never_run",
            "tests/sandbox/test_warm_pool.py::"
            "test_one_that_dies_before_the_program_is_let_go_is_replaced_and_the_program_runs_once",
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
            "tests/attacks/sandbox/test_on_docker.py",
            "tests/attacks/sandbox/test_on_gvisor.py",
            "tests/attacks/sandbox/test_on_bubblewrap.py",
            "tests/attacks/sandbox/test_on_burst.py",
            "tests/sandbox/test_burst_life.py",
            "tests/sandbox/test_seccomp.py",
            "tests/sandbox/conformance/test_life.py::test_what_a_killed_executor_left_is_ended_and_removed",
        ),
    ),
    Promise(
        "E4",
        "Memory, cpu, process, disk, inode, output, file and time bounds hold against hostile programs.",
        tests=(
            "tests/sandbox/conformance/test_bounds.py",
            "tests/attacks/sandbox/test_on_docker.py",
            "tests/attacks/sandbox/test_on_bubblewrap.py",
            "tests/attacks/sandbox/test_on_bubblewrap_without_groups.py",
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
            "tests/sandbox/test_pool_arithmetic.py::"
            "test_whatever_happens_a_container_is_taken_at_most_once_and_never_comes_back",
            "tests/sandbox/test_warm_pool.py::"
            "test_a_network_namespace_is_used_again_only_when_nothing_was_sent_in_it",
            "tests/sandbox/test_warm_pool.py::test_each_container_is_used_once_and_replaced_off_the_way",
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
            "tests/sandbox/conformance/test_checkpoint.py::test_a_stopped_program_leaves_its_checkpoint",
            "tests/executor/test_stopping.py::test_what_is_cancelled_while_its_sandbox_starts_runs_nothing",
            "tests/executor/test_event_stream.py::"
            "test_a_reader_that_takes_nothing_holds_up_neither_the_program_nor_other_readers",
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
    Promise(
        "E9",
        (
            "Programs get packages that an operator has locked, or people approved where the operator lets "
            "them, of which nothing bad is known, and no other; the receipt names their files."
        ),
        tests=(
            "tests/packages/test_keeping.py",
            "tests/packages/test_vulnerabilities.py",
            "tests/packages/test_admission.py",
            "tests/packages/test_in_sandboxes.py",
            "tests/packages/test_installers.py",
            "tests/packages/test_npm_archives.py",
            "tests/packages/test_npm_ranges.py",
            "tests/packages/test_npm_vulnerabilities.py",
            "tests/packages/test_nodejs_packages.py",
        ),
    ),
    Promise(
        "E10",
        (
            "Approved names are all that a program reaches, at public addresses that were checked, each "
            "connection on record."
        ),
        tests=(
            "tests/network/test_checks.py",
            "tests/network/test_proxy.py",
            "tests/network/test_in_sandboxes.py",
            "tests/network/test_admission.py",
        ),
    ),
    Promise(
        "E11",
        (
            "A program's last whole checkpoint of a few seconds before outlives a kill of it, its sandbox "
            "and its executor, and can be given to the next run."
        ),
        tests=(
            "tests/sandbox/conformance/test_checkpoint.py",
            "tests/executor/test_stopping.py::"
            "test_the_last_checkpoint_that_was_told_stands_in_for_one_that_was_lost_or_half_written",
            "tests/executor/test_transports.py::"
            "test_a_server_killed_while_a_program_runs_reports_it_as_interrupted_with_its_checkpoint",
        ),
    ),
    Promise(
        "E12",
        (
            "An approved addition of packages, for Python or Node.js, installs exactly what people saw, all "
            "of it or nothing, once; no code of a package runs."
        ),
        tests=(
            "tests/packages/test_additions.py",
            "tests/packages/test_nodejs_additions.py",
            "tests/packages/test_killed_additions.py",
            "tests/end_to_end/test_add_a_package.py",
        ),
    ),
)
