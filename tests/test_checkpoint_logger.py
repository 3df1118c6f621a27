"""The checkpoint logger as a service uses it: from the published example to threads, tasks and hostile handlers."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import UserList
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tracehub
from checkpoint_logger import (
    CheckpointLogger,
    get_checkpoint_logger,
    get_correlation_id,
    parse_line,
    set_correlation_id,
    suffix,
)
from checkpoint_logger.suffix import new_suffix
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S
from traced import tracing
from wayward import Wayward, wayward

EXAMPLE = """
import os
from checkpoint_logger import get_checkpoint_logger, set_correlation_id
os.environ['CHECKPOINT_TRACING'] = '1'
os.environ['TRACEHUB_URL'] = 'http://tracehub:8099'
log = get_checkpoint_logger("MA")
set_correlation_id("req-12345")
log.checkpoint_entry("REST", "/api/agents", {"id": "123"})
log.checkpoint_exit("REST", "/api/agents", {"status": "ok"})
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wayward]:
    with tracing(monkeypatch) as traced:
        yield traced.server


def log_of(server: Wayward) -> CheckpointLogger:
    assert server.port
    return get_checkpoint_logger("MA")


def sent(server: Wayward) -> list[dict[str, Any]]:
    assert tracehub.get_tracehub_client().flush(PATIENCE_S)  # type: ignore[union-attr]
    return server.entries


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, warnings being errors, without the settings of this one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TRACEHUB", "CHECKPOINT"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_published_example_runs_as_it_stands() -> None:
    """In a fresh interpreter, with the settings made after the import; nothing is printed."""
    with wayward() as server:
        done = run(EXAMPLE.replace("http://tracehub:8099", server.url))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        entry, exit_ = server.entries
    assert (entry["direction"], entry["data"], exit_["direction"], exit_["data"]) == (
        "->",
        {"id": "123"},
        "<-",
        {"status": "ok"},
    )
    assert {(told["source_id"], told["correlation_id"], told["operation"]) for told in (entry, exit_)} == {
        ("MA", "req-12345", "REST")
    }
    assert abs(entry["timestamp"] / 1000 - time.time()) < 60
    assert entry["suffix"] != exit_["suffix"]


def test_a_logger_of_a_module_goes_by_the_settings_of_its_first_checkpoint() -> None:
    """It is made where the module is imported, which may be before a program makes its settings."""
    made = 'log = get_checkpoint_logger("MA")\n'
    early = EXAMPLE.replace(made, "").replace("os.environ", made + "os.environ", 1)
    with wayward() as server:
        done = run(early.replace("http://tracehub:8099", server.url))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert [told["direction"] for told in server.entries] == ["->", "<-"]


def test_a_block_that_finds_tracing_off_puts_no_id_in_force() -> None:
    """Also where it is the first to ask."""
    done = run(
        "from checkpoint_logger import get_checkpoint_logger, get_correlation_id\n"
        "with get_checkpoint_logger('MA').checkpoint('RPC', '/x'):\n"
        "    assert get_correlation_id() is None\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("value", ["1", "true", "YES", "On"])
def test_tracing_is_on_for_these_words(server: Wayward, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Case does not count."""
    monkeypatch.setenv("CHECKPOINT_TRACING", value)
    log_of(server).checkpoint_entry("REST", "/x")
    assert len(sent(server)) == 1


@pytest.mark.parametrize("value", ["", "0", "false", "off", "2"])
def test_tracing_is_off_for_all_others(
    server: Wayward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """Off means nothing is written, sent or put in force; what is no word for it is told."""
    monkeypatch.setenv("CHECKPOINT_TRACING", value)
    log = log_of(server)
    log.checkpoint_entry("REST", "/x")
    with log.checkpoint("REST", "/x"):
        assert get_correlation_id() is None
    assert sent(server) == []
    assert ("CHECKPOINT_TRACING='2'" in caplog.text) == (value == "2")


def test_every_checkpoint_writes_one_line_that_can_be_read_back(
    server: Wayward, caplog: pytest.LogCaptureFixture
) -> None:
    """The line carries the entry, secrets masked; parse_line gives it back equal to what was sent."""
    log = log_of(server)
    caplog.set_level(logging.INFO, "checkpoint.MA")
    set_correlation_id('with space "and quotes"\n\x1b[31m é 🦊')
    log.checkpoint_entry("", "/api?x=1\u2028", {"password": "hidden", "n": 1.5, "text": "a\nb"})
    log.checkpoint_exit("REST", "/plain")
    lines = [record.getMessage() for record in caplog.records if record.name == "checkpoint.MA"]
    assert len(lines) == 2
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert "hidden" not in lines[0]
    for line, entry in zip(lines, sent(server), strict=True):
        parsed = parse_line(f"2026-11-22 20:00:00 INFO {line}")
        assert parsed is not None
        told = parsed.to_dict()
        assert {name: told[name] for name in entry if name != "hostname"} == {
            name: value for name, value in entry.items() if name != "hostname"
        }
    assert lines[1].endswith("op=REST endpoint=/plain")
    assert parse_line("checkpoint of something else") is None


@dataclass
class Login:
    user: str = "ann"
    password: str = "hidden 'it', it's"
    keys: Any = None
    tries: int = 3


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Login(), "Login(user='ann', password=***, keys=None, tries=3)"),
        (Login(password="", keys=SimpleNamespace(api_key=b"hidden")),
         "Login(user='ann', password=***, keys=namespace(api_key=***), tries=3)"),
        (UserList([{"Set-Cookie": "hidden; hidden", "n": 1}]), "[{'Set-Cookie': ***, 'n': 1}]"),
        (SimpleNamespace(token=["hidden", "hidden"]), "namespace(token=***"),
        (ValueError("bad token=hidden, n=2"), "ValueError: bad token=***, n=2"),
        (b'{"user":"ann","password":"hidden"}', '{"user":"ann","password":***}'),
        (b"user=ann&password=hidden&n=1", "user=ann&password=***&n=1"),
    ],
)  # fmt: skip
def test_secrets_in_the_text_of_objects_are_masked(
    server: Wayward, caplog: pytest.LogCaptureFixture, value: object, told: str
) -> None:
    """Where an object stands in data, its text is sent and logged without what stands behind a secret key."""
    caplog.set_level(logging.INFO, "checkpoint.MA")
    log_of(server).checkpoint_entry("REST", "/login", {"it": value})
    (entry,) = sent(server)
    assert entry["data"] == {"it": told}
    assert "hidden" not in caplog.text


@given(st.text(), st.text(), st.text(), st.dictionaries(st.text(), st.integers() | st.text()))
def test_any_line_is_read_back(correlation_id: str, operation: str, endpoint: str, data: dict[str, Any]) -> None:
    """Whatever the fields hold, the line is printable ASCII and its fields come back."""
    from checkpoint_logger.line import format_line
    from tracehub.redaction import Redaction

    fields = ("MA", correlation_id, 1706803200123.25, "x7K2p", "->", operation, endpoint, data, "host", None)
    line = format_line(fields, Redaction(["-*"]))
    assert line.isascii()
    assert line.isprintable()
    parsed = parse_line(line)
    assert parsed is not None
    assert (parsed.correlation_id, parsed.operation, parsed.endpoint, parsed.data) == (
        correlation_id, operation, endpoint, json.loads(json.dumps(data)),
    )  # fmt: skip


def test_hostile_handlers_reach_nobody(server: Wayward) -> None:
    """A handler that raises, or that passes checkpoints itself, does no harm."""
    log = log_of(server)

    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.checkpoint_entry("LOG", record.name)
            raise RuntimeError("no")

    handler = Bad()
    logger = logging.getLogger("checkpoint.MA")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        log.checkpoint_entry("REST", "/x")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert [entry["operation"] for entry in sent(server)] == ["REST", "LOG"]


def test_suffixes_are_short_and_unique() -> None:
    """Five letters or digits, none twice among 200,000 from four threads."""
    made: list[list[str]] = [[] for _ in range(4)]

    def make(mine: list[str]) -> None:
        mine.extend(new_suffix() for _ in range(50_000))

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [suffix for mine in made for suffix in mine]
    assert len(set(everything)) == 200_000
    assert all(len(suffix) == 5 and suffix.isalnum() for suffix in everything[::1000])


def test_suffixes_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last of 916 million comes the first."""
    monkeypatch.setattr(suffix, "_numbers", itertools.count(62**5 - 1))
    last, first = new_suffix(), new_suffix()
    monkeypatch.setattr(suffix, "_numbers", itertools.count())
    assert last != first == new_suffix()


def test_a_forked_child_goes_through_other_suffixes() -> None:
    """Parent and child do not walk through the same order."""
    code = (
        "import os; from checkpoint_logger.suffix import new_suffix; new_suffix()\n"
        "read, write = os.pipe(); child = os.fork() == 0\n"
        "mine = ' '.join(new_suffix() for _ in range(1000))\n"
        "if child: os.write(write, mine.encode()); os._exit(0)\n"
        "os.wait(); theirs = os.read(read, 9999).decode()\n"
        "print(len(set(mine.split()) & set(theirs.split())))"
    )
    done = run(code)
    assert done.stdout.strip() == "0", done.stderr


def test_the_packages_are_small_and_need_nothing() -> None:
    """Under 116 KB without integrations, and importing them loads nothing but the standard library."""
    source = Path(tracehub.__file__).parent.parent
    sizes = [path.stat().st_size for name in ("tracehub", "checkpoint_logger") for path in (source / name).glob("*.py")]
    assert sum(sizes) < 116_000
    done = run("import sys, tracehub, checkpoint_logger; print(*{name.split('.')[0] for name in sys.modules})")
    loaded = set(done.stdout.split()) - {"tracehub", "checkpoint_logger", "sitecustomize"}
    assert {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")} == set()
