"""Python without the interpreter's lock, where several threads are in the client at the same instant."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import tracehub
from wayward import wayward

SUFFIXES = """
import threading
from checkpoint_logger.suffix import new_suffix
made = [[] for _ in range(6)]
def make(mine):
    for _ in range(500_000): mine.append(new_suffix())
threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(set().union(*made)))
"""

CHANGING = """
import threading
from checkpoint_logger.line import format_line
from tracehub.entry import freeze
from tracehub.redaction import Redaction
flat = {str(number): number for number in range(50)}
nested = {"flat": flat, "list": [1, 2, 3]}
done = threading.Event()
def change():
    number = 0
    while not done.is_set():
        number += 1
        flat[f"k{number % 97}"] = "v" * (number % 50)
        flat.pop(f"k{number * 7 % 97}", None)
        nested["list"].append(number)
        if len(nested["list"]) > 50: nested["list"].clear()
def capture(data):
    for _ in range(20_000): freeze(("MA", "id", 1.0, "s", "->", "RPC", "/x", data, "host", None))
    for _ in range(300): format_line(("MA", "id", 1.0, "s", "->", "RPC", "/x", data), Redaction())
changing = [threading.Thread(target=change) for _ in range(2)]
capturing = [threading.Thread(target=capture, args=(data,)) for data in (flat, nested)]
for thread in changing + capturing: thread.start()
for thread in capturing: thread.join()
done.set()
print("done")
"""

SENDING = """
import threading, tracehub
from checkpoint_logger import get_checkpoint_logger
log = get_checkpoint_logger("MA")
def work():
    for _ in range(1_000): log.checkpoint_entry("RPC", "/x", {"a": [1]})
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
client = tracehub.get_tracehub_client()
while any(thread.is_alive() for thread in threads):
    client.flush()
    counts = client.counts()
    assert counts.enqueued == counts.sent + counts.dropped + counts.pending, counts
client.flush()
print(*client.counts())
"""


def free_threaded(code: str, url: str = "") -> str:
    """What `code` prints in an interpreter without the lock."""
    python = shutil.which("python3.14t") or shutil.which("python3.13t")
    if python is None:
        pytest.skip("no free-threaded Python is installed: it was NOT TRIED")
    environ = {
        "PYTHONPATH": str(Path(tracehub.__file__).parent.parent),
        "CHECKPOINT_TRACING": "1",
        "TRACEHUB_URL": url,
    }
    done = subprocess.run([python, "-c", code], env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.strip()


def test_suffixes_of_many_threads_at_once_are_unique() -> None:
    """One iterator of the standard library in several threads ended the process there."""
    assert free_threaded(SUFFIXES) == "3000000"


def test_data_that_another_thread_changes_meanwhile_ends_no_process() -> None:
    """What is captured, and what is logged, is as it was at some moment."""
    assert free_threaded(CHANGING) == "done"


def test_what_many_threads_send_at_once_is_counted_and_stored_once() -> None:
    """The counters add up at any time, and all that is sent is stored."""
    with wayward() as server:
        enqueued, sent, dropped, pending, _ = map(int, free_threaded(SENDING, server.url).split())
        assert enqueued == 8_000 == sent + dropped
        assert pending == server.duplicates == 0
        assert len(server.stored) == sent
