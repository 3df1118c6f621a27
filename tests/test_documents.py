"""What the documents say of entries, calls, settings and metrics is what there is."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Client
from tracehub.settings import read_numbers

from shared.api import CALLS
from shared.env import Settings, variable
from shared.wire import Entry

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()
API = (PROJECT / "docs/api.md").read_text()
OPERATIONS = (PROJECT / "docs/operations.md").read_text()
CLIENT = (PROJECT / "client/README.md").read_text()


def section(document: str, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    _, below = document.split(f"\n## {heading}\n", 1)
    return below.split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of its tables, line by line."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]


def quoted(text: str, pattern: str) -> list[str]:
    """What of this form stands in backquotes."""
    return re.findall(rf"`({pattern})`", text)


def defaults(table: list[list[str]]) -> dict[str, str]:
    """Of each variable in the first column, the default in the second."""
    found: dict[str, str] = {}
    for variables, default, *_ in table:
        names = quoted(variables, r"\w+")
        values = default.replace("`", "").split(", ")
        found |= zip(names, values * (len(names) // len(values)), strict=True)
    return found


def test_the_settings_of_the_services() -> None:
    """Each is in the README with its default, and there are no others but the files of the secrets."""
    told = defaults(rows(section(README, "Settings")))
    for field in msgspec.structs.fields(Settings):
        default = told.pop(variable(field.name))
        if isinstance(field.default, str):
            assert default == field.default or (default in ("none", "derived") and not field.default), field.name
        else:
            assert float(default) == field.default, field.name
    assert told == {"TRACEHUB_SECRET_FILE": "none", "TRACEHUB_QUERY_SECRET_FILE": "none"}


def test_the_numbers_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings they are what its README says."""
    told = defaults(rows(section(CLIENT, "Settings")))
    for name in read_numbers():
        monkeypatch.delenv(variable(name), raising=False)
    assert {name: float(told[variable(name)].removesuffix(" s")) for name in read_numbers()} == read_numbers()


def test_the_fields_of_an_entry() -> None:
    """In their order, and as long as they may be."""
    fields = msgspec.json.schema(Entry)["$defs"]["Entry"]["properties"]
    told = [(quoted(name, r"\w+"), kind) for name, kind, *_ in rows(section(README, "An entry"))[1:]]
    assert [name for (name,), _ in told] == list(fields)
    for (name,), kind in told:
        limits = [fields[name][limit] for limit in ("minLength", "maxLength") if limit in fields[name]]
        assert "maxLength" not in fields[name] or [int(number) for number in re.findall(r"\d+", kind)] == limits, name


def test_the_calls() -> None:
    """The README has each with its parameters, docs/api.md those of streams and each status."""
    told = rows(section(README, "Calls"))
    by_call = {call: row for row in told for call in quoted(row[0], r"[A-Z]+ /[^`]*")}
    made = {f"{call.method} {call.path.replace('{correlation_id}', '{id}')}": call for call in CALLS}
    assert by_call.keys() == made.keys() - {"GET /assets/{version}/{name}"}
    for name, row in by_call.items():
        parameters = {parameter.name for parameter in made[name].parameters if parameter.place == "query"}
        assert parameters - {"timeout", "last_event_id"} <= set(quoted(row[1], r"\w+")), name
    assert {"`timeout`", "`last_event_id=`"} <= set(re.findall(r"`[^`]*`", API))
    statuses = {int(status) for row in rows(API) for status in re.findall(r"\b[45]\d\d\b", row[0])}
    assert statuses >= {status for call in CALLS for status in call.errors} - {404}


@pytest.mark.parametrize("port", ["ingest", "query"])
async def test_the_metrics(ingest: Client, query: Client, port: str) -> None:
    """Each is explained, and none is missing."""
    _, table = section(OPERATIONS, "What to watch").split(f"\n| {port} | |\n", 1)
    told = {name for row in rows(table.split("\n\n", 1)[0]) for name in quoted(row[0], r"tracehub_\w+")}
    async with {"ingest": ingest, "query": query}[port].get("/metrics") as response:
        assert told == set(re.findall(r"^# TYPE (\w+)", await response.text(), re.MULTILINE))


async def test_the_example(ingest: Client) -> None:
    """What the README sends gets the answer that it shows."""
    found = re.search(r"-d '(.*?)'\n```\n```json\n(.*?)\n```", section(README, "Send one, see it"), re.DOTALL)
    assert found is not None
    headers: dict[str, Any] = {"Content-Type": "application/json"}
    async with ingest.post("/ingest", data=found[1].encode(), headers=headers) as response:
        assert (response.status, await response.text()) == (200, found[2])
