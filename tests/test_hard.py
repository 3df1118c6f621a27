"""The short form of every row of `make test-hard`."""

import importlib

import pytest
from hard import ROWS
from hard.report import NotHere, Report, Scale

MODULES = {name: importlib.import_module(f"hard.{name}") for name in ROWS}


@pytest.mark.parametrize("name", [name for name, row in MODULES.items() if not hasattr(row, "SHORT")])
async def test_the_promise_holds(name: str) -> None:
    """What the row promises, tried a few times."""
    try:
        await MODULES[name].run(Scale(short=True), Report(name, quiet=True))
    except NotHere as error:
        pytest.skip(str(error))
