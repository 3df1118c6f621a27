"""All that is measured, in one run: sections one after the other, each a script of its own.

    python bench/run.py [--quick | --growth] [--only ingest,steady]

A section prints a line of JSON for each measurement and says on standard error what it does. One that fails is noted
with its last words, and the others go on. At the end bench/results/ has the lines, the tables and the plots, and
README.md shows them; those of a quick run stay in bench/.cache/quick/. `--only` replaces the sections named and keeps
the others of the last run.
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

import report
from machine import describe, paces
from service import BENCH, CACHE

GROWN = CACHE / "grown"  # the file that `growth` leaves for those after it


class Section(NamedTuple):
    """A script and how it is called; `seconds` is what it takes, for the time that remains."""

    name: str
    seconds: int
    command: list[str]


FULL = [
    Section("ingest", 215, ["ingest.py", "--seconds", "2"]),
    Section("steady", 100, ["steady.py", "--rounds", "4", "--retention-s", "2.5"]),
    Section("growth", 120, ["growth.py", "--keep", str(GROWN)]),
    Section("reads", 40, ["reads.py", str(GROWN / "tracehub.db")]),
    Section("reads-small", 8, ["reads.py", str(GROWN / "small.db"), "--cases", "recent,stats"]),
    Section("reads-earlier", 6, ["peers/earlier_reads.py"]),
    Section("live", 130, ["live.py", "--rounds", "3", "--seconds", "3"]),
    Section("page", 90, ["page.py", "--minutes", "0.5"]),
    Section("page-live", 15, ["page_live.py", "--rounds", "2"]),
    Section("client", 20, ["client_cost.py", "--json", "--rounds", "5", "--seconds", "3"]),
]
QUICK = [
    Section(
        "ingest",
        36,
        ["ingest.py", "--rounds", "1", "--seconds", "1", "--batches", "10,100,1000", "--alone", "50000"],
    ),
    Section("growth", 20, ["growth.py", "--entries", "300000", "--rounds", "1", "--seconds", "1"]),
    Section("live", 10, ["live.py", "--seconds", "3", "--cases", "all-100"]),
]
GROWTH = [Section("growth", 300, ["growth.py", "--entries", "30000000"])]


class Run:
    """The sections of one run and what came of them."""

    def __init__(self, sections: list[Section], kept: dict[str, Any]) -> None:
        self._sections = sections
        self._started = time.monotonic()
        self._left_s = 0.0
        names = {section.name for section in sections}
        self.results: dict[str, Any] = {
            "command": "",
            "machine": describe(),
            "seconds": 0,
            "paces_s": kept.get("paces_s", []),
            "failures": [failure for failure in kept.get("failures", []) if failure["section"] not in names],
            "lines": [line for line in kept.get("lines", []) if line["section"] not in names],
        }

    def run(self) -> None:
        """One section after the other."""
        for number, section in enumerate(self._sections):
            self._left_s = sum(later.seconds for later in self._sections[number:])
            self.results["paces_s"] += paces()
            self._run(section)
        self.results["seconds"] = round(time.monotonic() - self._started)

    def _run(self, section: Section) -> None:
        started = time.monotonic()
        script = [sys.executable, str(BENCH / section.command[0]), *section.command[1:]]
        words: list[str] = []
        with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            listener = threading.Thread(target=self._listen, args=(process.stderr, words, started))
            listener.start()
            for line in process.stdout:
                if line.startswith("{"):
                    self.results["lines"].append({"section": section.name, **json.loads(line)})
            listener.join()
        if process.returncode:
            why = words[-1] if words else f"exit {process.returncode}"
            self.results["failures"].append({"section": section.name, "why": why})

    def _listen(self, stream: IO[str], words: list[str], started: float) -> None:
        """Pass on what a section says, with the time that remains."""
        for line in stream:
            if line.strip():
                words[:] = [line.strip()]
            minutes, seconds = divmod(max(0, int(self._left_s - (time.monotonic() - started))), 60)
            print(f"[{minutes}:{seconds:02} left] {line.rstrip()}", file=sys.stderr, flush=True)


def main() -> None:
    """Run, keep, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--quick", action="store_true", help="one short round of the most important")
    kind.add_argument("--growth", action="store_true", help="one long run to 30 million entries")
    parser.add_argument("--only", default="", help="sections to run, with commas in between")
    chosen = parser.parse_args()
    sections = QUICK if chosen.quick else GROWTH if chosen.growth else FULL
    folder = CACHE / "quick" if chosen.quick else report.RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("growth.json" if chosen.growth else "bench.json")
    kept: dict[str, Any] = {}
    if chosen.only:
        sections = [section for section in sections if section.name in chosen.only.split(",")]
        kept = json.loads(path.read_text()) if path.exists() else {}
    run = Run(sections, kept)
    run.results["command"] = kept.get("command") or _command(chosen)
    try:
        run.run()
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(GROWN)
    path.write_text(json.dumps(run.results, indent=1) + "\n")
    print(report.write(folder, None if chosen.quick else report.README))
    print(f"kept in {folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder}", file=sys.stderr)


def _command(chosen: argparse.Namespace) -> str:
    return "make bench-quick" if chosen.quick else "make bench-growth" if chosen.growth else "make bench"


if __name__ == "__main__":
    main()
