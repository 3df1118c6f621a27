"""A file or a place that cannot be used."""

PROMISE = "What cannot be used is named in one clear line and an exit code, or in a status while the service runs"
HOW = (
    "Garbage, a foreign, a newer, a missing and a replaced file, a missing and an unwritable directory, a second "
    "ingest process, a lock of another program, a file that may not grow"
)
SHORT = (
    "test_desk.py::test_a_file_that_cannot_be_used_is_one_clear_line",
    "test_desk.py::test_a_place_that_cannot_be_used_is_one_clear_line",
    "test_desk.py::test_a_second_ingest_process_is_refused",
    "test_desk.py::test_a_disk_that_fails_is_left_and_taken_again",
    "test_desk.py::test_a_file_that_is_taken_away_is_missed",
    "test_ingest.py::test_a_locked_file_is_a_503_and_passes",
    "test_pool.py::test_files_that_cannot_be_read",
    "test_end_to_end.py::test_query_first",
)
