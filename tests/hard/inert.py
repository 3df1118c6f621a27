"""Text that would rather be something else."""

PROMISE = (
    "What entries hold has no effect where it is shown: in the page, streams, logs, metrics, errors and the terminal"
)
HOW = "Script tags, attributes, schemes, line breaks, escape sequences and direction marks in every field"
SHORT = (
    "test_inert.py",
    "test_page_chain.py::test_entries_may_hold_anything",
    "test_page_sources.py::test_hostile_names_stay_text",
    "test_page_tail.py::test_hostile_entries_stay_text",
    "test_page_compare.py::test_hostile_fields_stay_text",
    "test_cli.py::test_nothing_that_a_terminal_obeys_reaches_it",
)
