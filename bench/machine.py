"""What the figures were taken on."""

import datetime
import os
import platform
import sqlite3
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from service import BENCH

ADDITIONS = 10_000_000
PARTS = 5


def describe() -> dict[str, Any]:
    """The machine, what runs on it, and which state of the project."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("describe", "--always", "--dirty"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "file_system": _file_system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "aiohttp": version("aiohttp"),
        "msgspec": version("msgspec"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def paces() -> list[float]:
    """Seconds that a loop of 10 million additions takes, five samples: how fast and how steady the machine is now."""
    taken = []
    for _ in range(PARTS):
        started = time.perf_counter()
        total = 0
        for each in range(ADDITIONS // PARTS):
            total += each
        taken.append(round(PARTS * (time.perf_counter() - started), 3))
    return taken


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system() -> str:
    done = subprocess.run(["df", "--output=fstype", BENCH], capture_output=True, text=True, check=False)
    return done.stdout.split()[-1] if done.returncode == 0 else "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", BENCH, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
