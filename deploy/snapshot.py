"""`python -m tracehub_server.snapshot FILE`: copy the live database that TRACEHUB_DB names into a new file."""

import argparse
import os
from pathlib import Path

from shared.env import PROGRAM, failing_in_one_line, read_settings
from shared.storage.snapshot import snapshot
from shared.telling import tell


def main() -> None:
    """Copy it, and print what the copy holds as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tracehub_server.snapshot", description=__doc__)
    parser.add_argument("file", type=Path)
    target = parser.parse_args().file.absolute()
    with failing_in_one_line(PROGRAM):
        entries = snapshot(read_settings(os.environ, {}).path, target)
    tell({"file": str(target), "entries": entries, "bytes": target.stat().st_size})


main()
