"""Text that would rather be something else."""

PROMISE = "What entries hold does nothing where it is shown: page, streams, logs, metrics, errors and terminal"
HOW = "Script tags, attributes, schemes, line breaks, escape sequences and marks of direction in every field"
SHORT = (
    "test_inert.py",
    "test_page_chain.py::test_entries_may_hold_anything",
    "test_page_sources.py::test_hostile_names_stay_text",
    "test_page_tail.py::test_hostile_entries_stay_text",
    "test_page_compare.py::test_hostile_fields_stay_text",
    "test_cli.py::test_nothing_that_a_terminal_obeys_reaches_it",
)
