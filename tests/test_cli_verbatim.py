"""What programs get of entries is what was sent: digits, forms of numbers and repeated keys."""

import json

import pytest
from conftest import entry
from shell import Shell, hub, shell
from tracehub.connection import Connection

__all__ = ["hub", "shell"]  # fixtures

DATA = '{"a":0.12345678901234567890,"a":1.10,"b":1e400,"c":"\\u00e9 \\"traces\\":[]"}'


@pytest.fixture
def stored(shell: Shell) -> str:
    """The id of a chain of two entries with this data."""
    texts = [json.dumps(entry(correlation_id="letters")).replace("}", f', "data": {DATA}}}') for _ in range(2)]
    connection = Connection(shell.url, 10)
    assert connection.ask("POST", "/ingest", f'{{"traces":[{",".join(texts)}]}}'.encode()).status == 200
    connection.close()
    return "letters"


def test_show_gives_programs_entries_to_the_letter(shell: Shell, stored: str) -> None:
    """On one line in a pipe and an entry a line on a terminal; what is told of the chain is around them."""
    for shown in (shell.run("show", stored, "--json").stdout, shell.on_terminal("show", stored, "--json")):
        told = json.loads(shown)
        assert list(told) == ["correlation_id", "traces", "count", "complete", "expired", "next"]
        assert len(told["traces"]) == told["count"] == shown.count(f'"data":{DATA},')


def test_tail_gives_programs_entries_to_the_letter(shell: Shell, stored: str) -> None:
    """The last ones that are stored, and those that follow, each with its row id first."""
    for words in (("-n", "1"), ("--after", "0"), (stored,)):
        with shell.follow("tail", "--json", *words) as tail:
            assert tail.stdout is not None
            line = next(line for line in tail.stdout if stored in line)
        assert list(json.loads(line))[:2] == ["id", "source_id"]
        assert f'"data":{DATA},' in line
