"""`make setup`: which interpreter it takes."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.mark.parametrize(("there", "code"), [(platform.python_version(), 0), ("3.9.0", 2)])
def test_an_interpreter_that_is_not_that_of_the_environment(tmp_path: Path, there: str, code: int) -> None:
    """Who names one and has an environment of another version is told, and not given that silently."""
    for file in ("Makefile", "pyproject.toml", "client/pyproject.toml", ".venv/bin/python", ".venv/.ready"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "Makefile").write_text((PROJECT / "Makefile").read_text())
    python = tmp_path / ".venv/bin/python"
    python.write_text(f"#!/bin/sh\necho Python {there}\n")
    python.chmod(0o755)
    command = ["make", "setup", "UV=", f"PYTHON={sys.executable}"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    ours = f"{sys.executable} is Python {platform.python_version()}"
    said = f"make: .venv has Python 3.9.0, {ours}: make clean removes it\n"
    assert ended.returncode == code
    assert ended.stderr.startswith(said if code else "") and bool(ended.stderr) == bool(code)
