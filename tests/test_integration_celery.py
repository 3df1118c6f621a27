"""Celery: a real worker with a prefork pool, over a broker in a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE_S, wait_until
from wayward import Wayward

APP = """
from celery import Celery, signals
from checkpoint_logger import get_checkpoint_logger, get_correlation_id, set_correlation_id
from tracehub import processes
from tracehub.integrations.celery import trace_celery
import os
processes.LAST_FLUSH_S = 60.0
folder = os.environ["BROKER"]
app = Celery("work", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder, "data_folder_out": folder, "control_folder": folder + "/control"
    },
    worker_prefetch_multiplier=1, task_ignore_result=True, broker_connection_retry_on_startup=True,
)
if os.environ["SIGNALS"] == "1":
    trace_celery("WK")
log = get_checkpoint_logger("PL")

@signals.task_postrun.connect
def note(task_id, **_):
    open(os.path.join(os.environ["DONE"], task_id), "w").close()

@app.task(name="add")
def add(n):
    if os.environ["SIGNALS"] != "1":
        set_correlation_id(f"plain-{n}")
    log.checkpoint_entry("WORK", f"/{n:03}", {"id": get_correlation_id()})

@app.task(name="fail")
def fail():
    raise ValueError("no")
"""


def run(tmp_path: Path, server: Wayward, signals: str, publish: str, tasks: int, entries: int) -> None:
    """Publish, let a worker of two processes do all of it, and end the worker in good order."""
    (tmp_path / "work.py").write_text(APP)
    folder, done = tmp_path / "broker", tmp_path / "done"
    (folder / "control").mkdir(parents=True)
    done.mkdir()
    environ = {
        **os.environ, "BROKER": str(folder), "DONE": str(done), "SIGNALS": signals, "TRACEHUB_URL": server.url,
        "CHECKPOINT_TRACING": "1", "TRACEHUB_FLUSH_INTERVAL": "60", "TRACEHUB_BATCH_SIZE": "1000",
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", publish], cwd=tmp_path, env=environ, check=True, timeout=PATIENCE_S)
    command = ["celery", "-A", "work", "worker", "-P", "prefork", "-c", "2", "--without-gossip", "--without-mingle"]
    worker = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        wait_until(lambda: len(list(done.iterdir())) == tasks, lambda: "the worker did not do its work")
    finally:
        worker.send_signal(signal.SIGTERM)
        _, errors = worker.communicate(timeout=PATIENCE_S)
    assert len(server.entries) == entries, errors.decode()
    assert server.duplicates == 0


def test_tasks_carry_the_id_and_are_pairs_of_checkpoints(tmp_path: Path, server: Wayward) -> None:
    """The publisher's id is in force in the worker; each run enters and leaves, with its error where it fails."""
    publish = """
from checkpoint_logger import set_correlation_id
import work
for n in range(12):
    set_correlation_id(f"req-{n}")
    work.add.delay(n)
set_correlation_id("failing")
work.fail.delay()
"""
    run(tmp_path, server, "1", publish, tasks=13, entries=38)
    for n in range(12):
        chain = [entry for entry in server.entries if entry["correlation_id"] == f"req-{n}"]
        assert [(entry["direction"], entry["operation"]) for entry in chain] == [
            ("->", "TASK"), ("->", "WORK"), ("<-", "TASK"),
        ]  # fmt: skip
        assert chain[2]["data"] == {"state": "SUCCESS"}
    failed = [entry for entry in server.entries if entry["correlation_id"] == "failing"]
    assert failed[1]["data"] == {"state": "FAILURE", "error": "ValueError: no"}


def test_prefork_workers_deliver_at_their_end_without_the_signals_too(tmp_path: Path, server: Wayward) -> None:
    """Celery ends its children without atexit; the last flush is registered with it."""
    run(tmp_path, server, "0", "import work\nfor n in range(12): work.add.delay(n)", tasks=12, entries=12)
    assert sorted(entry["endpoint"] for entry in server.entries) == [f"/{n:03}" for n in range(12)]


EAGER = """
from celery import Celery
from checkpoint_logger import get_correlation_id, set_correlation_id
from tracehub.integrations.celery import trace_celery
app = Celery("work", broker="memory://")
app.conf.task_always_eager = True
trace_celery("WK")
"""
BROKEN_OFF = """
@app.task(name="inner")
def inner():
    raise SystemExit(7)

@app.task(name="outer")
def outer():
    inner.delay()

set_correlation_id("request")
try:
    outer.delay()
except SystemExit:
    assert get_correlation_id() == "request"
"""


def run_eagerly(server: Wayward, tasks: str) -> None:
    """Tasks that run where they are called, in a process of their own."""
    environ = {**os.environ, "TRACEHUB_URL": server.url, "CHECKPOINT_TRACING": "1"}
    subprocess.run([sys.executable, "-c", EAGER + tasks], env=environ, check=True, timeout=PATIENCE_S)


def test_an_eager_task_stays_in_the_chain_and_tells_what_broke_it_off(server: Wayward) -> None:
    """There is no message to carry the id; a run that ends without a state, as by a time limit, ends with its error."""
    run_eagerly(server, BROKEN_OFF)
    assert [(entry["direction"], entry["endpoint"]) for entry in server.entries] == [
        ("->", "outer"), ("->", "inner"), ("<-", "inner"), ("<-", "outer"),
    ]  # fmt: skip
    assert {entry["correlation_id"] for entry in server.entries} == {"request"}
    assert server.entries[2]["data"] == {"state": "", "error": "SystemExit: 7"}


REPLACED = """
@app.task(name="inner")
def inner():
    pass

@app.task(name="outer", bind=True)
def outer(self):
    raise self.replace(inner.si())

outer.delay()
assert get_correlation_id() is None
"""


def test_an_eager_task_that_is_replaced_is_left_too(server: Wayward) -> None:
    """What takes its place runs within it, under the same task id; the correlation id does not outlast it."""
    run_eagerly(server, REPLACED)
    assert [(entry["direction"], entry["endpoint"]) for entry in server.entries] == [
        ("->", "outer"), ("->", "inner"), ("<-", "inner"), ("<-", "outer"),
    ]  # fmt: skip
    assert len({entry["correlation_id"] for entry in server.entries}) == 1
