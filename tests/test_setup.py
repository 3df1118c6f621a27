"""`make setup`: which interpreter it takes, and when it sets up anew."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


def set_up(checkout: Path, version: str) -> None:
    """A checkout with an environment, whose interpreter says its version and no more."""
    for file in ("Makefile", "pyproject.toml", "client/pyproject.toml", ".venv/bin/python", ".venv/.ready"):
        (checkout / file).parent.mkdir(parents=True, exist_ok=True)
        (checkout / file).touch()
    (checkout / "Makefile").write_text((PROJECT / "Makefile").read_text())
    (checkout / ".venv/.ready").write_text(f"{checkout}\n")
    python = checkout / ".venv/bin/python"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o755)


def make_setup(checkout: Path, python: str) -> subprocess.CompletedProcess[str]:
    """`make setup` with an interpreter, without uv."""
    command = ["make", "setup", "UV=", f"PYTHON={python}"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("there", "code"), [(platform.python_version(), 0), ("3.9.0", 2)])
def test_an_interpreter_that_is_not_that_of_the_environment(tmp_path: Path, there: str, code: int) -> None:
    """Who names one and has an environment of another version is told, and not given that silently."""
    set_up(tmp_path, f"Python {there}")
    ended = make_setup(tmp_path, sys.executable)
    ours = f"{sys.executable} is Python {platform.python_version()}"
    said = f"make: .venv has Python 3.9.0, {ours}: make clean removes it\n"
    assert ended.returncode == code
    assert ended.stderr.startswith(said if code else "") and bool(ended.stderr) == bool(code)


@pytest.mark.parametrize("move", [Path.rename, shutil.copytree])
def test_a_checkout_that_was_moved(tmp_path: Path, move: Callable[[Path, Path], object]) -> None:
    """It is set up anew, once: what is installed is found where it was, which may be another checkout by now."""
    was, now = tmp_path / "was", tmp_path / "it's now"
    set_up(was, "Python 3.9.0")
    begins = "Setting up .venv ..."
    assert begins not in make_setup(was, ".venv/bin/python").stdout
    move(was, now)
    assert [begins in make_setup(now, ".venv/bin/python").stdout for _ in range(2)] == [True, False]
