"""All that is measured, in one run: sections one after the other, each a script of its own, results in bench/results/.

    python bench/run.py [--quick] [--only ingest]

A section prints a line of JSON for each measurement and says on standard error what it does. One that fails is noted
and the others go on. Results end up in bench/results/, those of a quick run in bench/.cache/.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any, NamedTuple

from machine import describe
from service import BENCH, CACHE

RESULTS = BENCH / "results"
SECTION_S = 3_600  # after which one is given up


class Section(NamedTuple):
    """A script and how it is called; `seconds` is what it takes, for the time that remains."""

    name: str
    full: list[str]
    seconds: int
    quick: list[str]
    quick_seconds: int


SECTIONS = [
    Section(
        "ingest",
        ["ingest.py"],
        230,
        ["ingest.py", "--rounds", "1", "--seconds", "1", "--batches", "10,100,1000", "--alone", "50000"],
        40,
    ),
]


def main() -> None:
    """Run, keep, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round of the most important")
    parser.add_argument("--only", default="", help=f"of {', '.join(section.name for section in SECTIONS)}")
    chosen = parser.parse_args()
    only = chosen.only.split(",") if chosen.only else [section.name for section in SECTIONS]
    sections = [section for section in SECTIONS if section.name in only]
    left = sum(section.quick_seconds if chosen.quick else section.seconds for section in sections)
    results: dict[str, Any] = {"machine": describe(), "lines": [], "failures": []}
    for section in sections:
        print(f"== {section.name}: about {left // 60}:{left % 60:02} left in all", file=sys.stderr, flush=True)
        _run(section, section.quick if chosen.quick else section.full, results)
        left -= section.quick_seconds if chosen.quick else section.seconds
    folder = CACHE if chosen.quick else RESULTS
    folder.mkdir(exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(results, indent=1) + "\n")


def _run(section: Section, command: list[str], results: dict[str, Any]) -> None:
    started = time.monotonic()
    script = [sys.executable, str(BENCH / command[0]), *command[1:]]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                results["lines"].append({"section": section.name, **json.loads(line)})
                print(line, end="", flush=True)
    if process.returncode:
        results["failures"].append({"section": section.name, "exit": process.returncode})
    print(f"== {section.name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
