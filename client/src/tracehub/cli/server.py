"""The installed server, run as a program: `python -m tracehub_server`. Nothing of it is imported."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tracehub.errors import TraceHubError

MODULE = "tracehub_server"


class NotInstalled(TraceHubError):
    """Only the client is here."""


class Failed(TraceHubError):
    """The server's program could not do it; its own line says why."""


def command_line(module: str = MODULE, *words: str) -> list[str]:
    """How to call it, or one of its smaller programs. Raises NotInstalled."""
    if importlib.util.find_spec(MODULE) is None:
        raise NotInstalled(
            "the server is not installed here: pip install . in a checkout of TraceHub, beside the client"
        )
    return [sys.executable, "-m", module, *words]


def environment(db: Path) -> dict[str, str]:
    """What it runs in: on this database, with no package that lies where the command is given."""
    return {**os.environ, "TRACEHUB_DB": str(db), "PYTHONSAFEPATH": "1"}


def told(db: Path, name: str, *words: str) -> dict[str, Any]:
    """What one of its smaller programs says as JSON. Raises Failed with its line, or NotInstalled."""
    ended = subprocess.run(
        command_line(f"{MODULE}.{name}", *words),
        env={**environment(db), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        raise Failed(lines[-1].partition(": ")[2] or lines[-1] if lines else f"ended with {ended.returncode}")
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer
