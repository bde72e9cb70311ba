"""Which rows of the matrix, and which faults of the machine, have a case."""

import pathlib
import re

import pytest

from tests.faults import (  # noqa: F401 (they tell their rows when they are imported)
    faults_tables_test,
    fetching_test,
    flags_test,
    folders_test,
    hostile_folders_test,
    hostile_test,
    images_test,
    records_test,
    served_test,
)
from tests.faults.found import FOUND
from tests.faults.making import COVERED

NUM_ROWS = 98
LEAST_COVERED = 90


def test_nearly_all_rows_have_a_case():
    without = sorted(set(range(1, NUM_ROWS + 1)) - set(COVERED))
    print("rows without a case:", *without)
    assert set(COVERED) <= set(range(1, NUM_ROWS + 1)) | set(FOUND), "numbers of rows"
    assert NUM_ROWS - len(without) >= LEAST_COVERED
    assert without == [95, 97], "limits of a model server, which no test here starts"


TESTS = pathlib.Path(__file__).resolve().parents[1]
COVERS = re.compile(r"^@covers\(([\d, ]+)\)", re.MULTILINE)


def test_every_row_that_users_added_has_a_case():
    texts = [path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("*_test.py"))]
    marked = {
        int(row) for text in texts for rows in COVERS.findall(text) for row in rows.split(",")
    }
    assert sorted(set(FOUND) - marked - set(COVERED)) == []


FAULTS = {
    "kill -9 at a random step, in evaluation, in export": [
        "faults/kills_test.py::test_a_kill_at_a_point_changes_nothing",
        "faults/kills_test.py::test_kills_one_after_the_other",
    ],
    "kill -9 at each save syscall": [
        "faults/kills_test.py::test_a_kill_at_each_system_call_leaves_the_old_or_the_new",
    ],
    "SIGTERM and SIGINT": [
        "console/signals_test.py::test_a_run_that_was_stopped_ends_as_if_it_had_not_been",
        "console/signals_test.py::test_a_main_thread_that_never_looks_is_ended_all_the_same",
        "training/fit_test.py::test_a_signal_while_an_epoch_is_judged_loses_nothing",
        "training/fit_test.py::test_a_signal_in_the_last_step_saves_before_the_epoch_is_judged",
    ],
    "second SIGTERM": ["console/signals_test.py::test_the_second_signal_ends_at_once"],
    "SIGHUP, broken stdout pipe": [
        "console/streams_test.py::test_a_closed_pipe_leads_into_the_log",
        "console/streams_test.py::test_a_terminal_that_hangs_up_leads_into_the_log",
        "console/streams_test.py::test_a_training_whose_pipe_is_closed_finishes",
    ],
    "disk full": [
        "runs/checkpoints_test.py::test_a_full_disk_costs_the_older_one_and_then_is_said",
        "faults/disks_test.py::test_a_full_disk_is_one_line_and_leaves_nothing_half_written",
        "faults/disks_test.py::test_a_cache_that_cannot_be_written_is_done_without",
        "faults/disks_test.py::test_too_little_room_is_said_before_the_first_step",
        "faults/disks_test.py::test_a_disk_that_is_really_full",
    ],
    "read-only output": [
        "faults/disks_test.py::test_an_output_that_cannot_be_written_is_said_before_any_download",
    ],
    "quota, EIO, stale NFS": [
        "runs/checkpoints_test.py::test_an_error_of_the_disk_at_each_fsync_leaves_a_whole_one",
        "faults/disks_test.py::test_a_quota_and_a_stale_file_are_tried_once_more",
        "faults/disks_test.py::test_a_quota_and_a_stale_file_end_a_command_with_one_line",
        "console/command_test.py::test_faults_of_tensorflow",
    ],
    "damaged checkpoint": [
        "runs/checkpoints_test.py::test_a_damaged_one_is_passed_over_with_one_warning",
        "runs/checkpoints_test.py::test_one_bit_anywhere_is_found",
        "runs/checkpoints_test.py::test_all_damaged_is_an_error_not_a_silent_restart",
        "faults/kills_test.py::test_a_damaged_checkpoint_costs_its_steps_and_one_warning",
    ],
    "weights of another step than metadata": [
        "runs/checkpoints_test.py::test_parts_of_two_steps_are_not_taken_for_a_checkpoint",
        "runs/checkpoints_test.py::test_a_folder_with_another_steps_name_is_refused",
    ],
    "two runs, one directory": [
        "runs/folder_test.py::test_a_second_process_is_refused_with_the_first_ones_number",
    ],
    "clock and equal mtimes": [
        "runs/checkpoints_test.py::test_two_are_kept_and_the_order_is_by_step_not_by_time",
    ],
    "resume with other flags, data or versions": [
        "runs/folder_test.py::test_an_unfinished_run_refuses_other_flags_and_names_them",
        "runs/folder_test.py::test_other_data_are_refused_split_by_split",
        "runs/folder_test.py::test_other_versions_are_refused",
        "runs/folder_test.py::test_what_resume_names_may_differ",
        "experiments/rounds_test.py::test_finished_folds_are_of_the_data_of_now",
        "training/fit_test.py::test_a_run_does_not_go_on_with_other_data",
    ],
    "out of memory": ["console/command_test.py::test_each_fault_is_one_line_with_its_code"],
    "network": [
        "files/assets_test.py::test_wrong_hash_is_tried_three_times_and_leaves_nothing",
        "files/assets_test.py::test_without_a_network_the_fix_is_named",
    ],
    "two processes fetch one weight": ["files/assets_test.py::test_two_threads_download_once"],
    "loss that is not finite": [
        "training/fit_test.py::test_a_loss_that_is_not_finite_stops_at_once",
        "training/callbacks/keep_best_test.py::test_a_value_that_is_not_finite_is_never_the_best",
    ],
    "export killed": ["faults/kills_test.py::test_a_kill_at_a_point_changes_nothing"],
    "TMPDIR full, HOME unset, low ulimit -n": [
        "faults/disks_test.py::test_an_output_that_cannot_be_written_is_said_before_any_download",
        "faults/disks_test.py::test_without_a_home_the_cache_must_be_named",
        "faults/disks_test.py::test_few_open_files_are_one_line",
    ],
}
"""Fault -> the tests that hold what is promised of it."""


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_tests(fault):
    for place in FAULTS[fault]:
        file, _, name = place.partition("::")
        assert f"\ndef {name}(" in (TESTS / file).read_text(encoding="utf-8"), place
