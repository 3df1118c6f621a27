"""`make run-all` whose directory is deleted, made anew and given to another."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from test_running import Terminal, run

from shared.pidfile import pid_path, supervising

__all__ = ["run"]  # a fixture


def test_a_place_that_was_made_anew_has_one_server(run: Callable[..., Terminal], tmp_path: Path) -> None:
    """The first one takes it again, or ends when another has it by then."""
    db = tmp_path / "place" / "tracehub.db"
    db.parent.mkdir(mode=0o700)
    terminal = run(TRACEHUB_DB=str(db))
    terminal.pid("ingest_svc")
    said = pid_path(db).read_text()
    shutil.rmtree(db.parent)
    db.parent.mkdir(mode=0o700)
    terminal.wait(lambda: pid_path(db).exists() and pid_path(db).read_text() == said)
    pid_path(db).unlink()
    with supervising(db):
        assert terminal.process.wait(60) == 2
    line = f"tracehub: {db} has a server already (pid {os.getpid()}): tracehub stop ends it; everything is stopped"
    assert line in terminal.output.splitlines()
