"""`make test-hard`: every promise, tried; ends with the table, and with 1 when a row does not hold.

PYTHONPATH=tests python -m hard [NAME...] [--quick] [--hour] [--list] [--report DIR]
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
from hard.report import NotHere, Report, Scale, table, write

TESTS = Path(__file__).parents[1]
REPORT = TESTS.parent / "var" / "hard"


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
            report.tried(len(tests), "tests of the suite")
        if hasattr(row, "run") and not (scale.short and tests):
            asyncio.run(row.run(scale, report))
        report.result = "holds"
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
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--report", type=Path, default=REPORT, help=f"directory of the report ({REPORT})")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    names = [name for name in ROWS if not arguments.names or name in arguments.names]
    rows = {name: importlib.import_module(f"hard.{name}") for name in names}
    if arguments.list:
        sys.exit(print("\n".join(f"{name:<14} {row.PROMISE}" for name, row in rows.items())))
    reports = []
    for number, (name, row) in enumerate(rows.items(), 1):
        print(f"{number} of {len(rows)}, {name}: {row.HOW}", file=sys.stderr, flush=True)
        reports.append(tried(row, name, Scale(arguments.quick, arguments.hour)))
        print(f"\r{table(reports[-1:])}", file=sys.stderr, flush=True)
        write(arguments.report, reports)
    print(table(reports))
    held = sum(report.result == "holds" for report in reports)
    print(f"\n{held} of {len(reports)} hold; the report is in {arguments.report}")
    sys.exit(any(report.result == "BROKEN" for report in reports))


main()
