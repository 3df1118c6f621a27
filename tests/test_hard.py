"""The short form of every row of `make test-hard`."""

import importlib

import pytest
from hard import ROWS
from hard.proves import MUTANTS, PROJECT
from hard.report import NotHere, Report, Scale

MODULES = {name: importlib.import_module(f"hard.{name}") for name in ROWS}


@pytest.mark.parametrize("name", [name for name, row in MODULES.items() if not hasattr(row, "SHORT")])
async def test_the_promise_holds(name: str) -> None:
    """What the row promises, tried a few times."""
    try:
        await MODULES[name].run(Scale(short=True), Report(name, quiet=True))
    except NotHere as error:
        pytest.skip(str(error))


def test_what_is_to_be_broken_is_there() -> None:
    """What `make test-hard-proves` breaks stands just once in its file, and names a row that there is."""
    assert [mutant.name for mutant in MUTANTS if (PROJECT / mutant.file).read_text().count(mutant.text) != 1] == []
    assert {mutant.row for mutant in MUTANTS} <= set(ROWS)


def test_the_tests_that_stand_for_a_row_are_there() -> None:
    """A row whose short form is tests of the suite names files, and tests in them, that there are."""
    named = {test for row in MODULES.values() for test in getattr(row, "SHORT", ())}
    assert len(named) > 5
    assert [test for test in named if not is_there(*test.partition("::")[::2])] == []


def test_each_promise_is_documented() -> None:
    """The table in docs/reliability.md has the rows in their order, each with its promise."""
    lines = (PROJECT / "docs" / "reliability.md").read_text().splitlines()
    found = [tuple(line.split(" | ")[:2]) for line in lines if line.startswith("| `")]
    assert found == [(f"| `{name}`", row.PROMISE) for name, row in MODULES.items()]


def is_there(file: str, test: str) -> bool:
    """Whether the suite has the file and, if one is named, the test in it."""
    path = PROJECT / "tests" / file
    return path.is_file() and (not test or f"def {test}(" in path.read_text())
