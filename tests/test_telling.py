"""What the smaller programs of the server print, and where it cannot be printed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_writer import HOUR_MS

from shared.storage.writer import Writer


@pytest.mark.parametrize(("output", "code"), [(">/dev/full", 1), (">&-", 0)])
@pytest.mark.parametrize("program", ["doctor", "snapshot copy.db"])
def test_an_output_that_takes_nothing(tmp_path: Path, program: str, output: str, code: int) -> None:
    """One without room is said in one line; where the shell has closed it, nobody misses anything."""
    Writer(tmp_path / "tracehub.db", HOUR_MS, synced=False).close()
    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" -m tracehub_server.{program} {output}', sys.executable],
        env={**os.environ, "TRACEHUB_DB": str(tmp_path / "tracehub.db")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = "tracehub: standard output: No space left on device\n" if code else ""
    assert (ended.returncode, ended.stderr) == (code, said)
