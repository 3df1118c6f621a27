"""`make test-hard`: every promise, tried; ends with the table, and with 1 when a row does not hold.

A row that fails, or does not come to its end, keeps no other from being tried. The report is written after each row:
what was interrupted goes on with `--resume`, and rows that are named take their places among the others in the report.

PYTHONPATH=tests python -m hard [NAME...] [--quick] [--hour] [--resume] [--list] [--report DIR]
"""

import argparse
import asyncio
import importlib
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

from hard import ROWS
from hard.report import HOLDS, NotHere, Report, Scale, read, table, write

TESTS = Path(__file__).parents[1]
REPORT = TESTS.parent / "var" / "hard"
ROW_S = 1_800  # that a row may take, an hour of steady load apart


def suite(tests: tuple[str, ...]) -> None:
    """Run tests of the suite, as a row's short form."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(str(TESTS / test) for test in tests)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS.parent)
    assert ended.returncode == 0, ended.stdout[-3000:]


def tried(row: ModuleType, name: str, scale: Scale) -> Report:
    """The row, tried."""
    report = Report(name, row.PROMISE, row.HOW)
    started = time.monotonic()
    try:
        if tests := getattr(row, "SHORT", ()):
            suite(tests)
            report.tried(len(tests), "test of the suite" if len(tests) == 1 else "tests of the suite")
        if hasattr(row, "run") and not (scale.short and tests):
            asyncio.run(asyncio.wait_for(row.run(scale, report), ROW_S + 3_600 * scale.hour))
        report.result = HOLDS
    except NotHere as error:
        report.result, report.reason = "not tried", str(error)
    except Exception as error:
        traceback.print_exc()
        report.result, report.reason = "BROKEN", f"{type(error).__name__}: {error}"
    report.seconds = time.monotonic() - started
    return report


def main() -> None:
    """Try the rows that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m hard", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows to try (all)")
    parser.add_argument("--quick", action="store_true", help="the short form of each")
    parser.add_argument("--hour", action="store_true", help="an hour of steady load instead of fifteen minutes")
    parser.add_argument("--resume", action="store_true", help="leave out the rows that hold in the report")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--report", type=Path, default=REPORT, help=f"directory of the report ({REPORT})")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    names = [name for name in ROWS if not arguments.names or name in arguments.names]
    rows = {name: importlib.import_module(f"hard.{name}") for name in names}
    if arguments.list:
        sys.exit(print("\n".join(f"{name:<14} {row.PROMISE}" for name, row in rows.items())))
    place = arguments.report / "short" if arguments.quick else arguments.report
    done = read(place) if arguments.resume or arguments.names else {}
    if arguments.resume:
        rows = {name: row for name, row in rows.items() if name not in done or done[name].result != HOLDS}
    for number, (name, row) in enumerate(rows.items(), 1):
        print(f"{number} of {len(rows)}, {name}: {row.HOW}", file=sys.stderr, flush=True)
        done[name] = tried(row, name, Scale(arguments.quick, arguments.hour))
        print(f"\r{table([done[name]])}", file=sys.stderr, flush=True)
        write(place, [done[name] for name in ROWS if name in done])
    reports = [done[name] for name in (names if arguments.names else ROWS) if name in done]
    print(table(reports))
    held = sum(report.result == HOLDS for report in reports)
    print(f"\n{held} of {len(reports)} hold; the report is in {place}")
    sys.exit(any(report.result == "BROKEN" for report in reports))


main()
