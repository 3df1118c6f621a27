"""`python -m tracehub_server.snapshot FILE`: copy the live database that TRACEHUB_DB names into a new file."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from shared.env import BAD_SETTING, SettingError, give_up, read_settings
from shared.errors import TraceHubError
from shared.storage.snapshot import snapshot
from shared.wire import encode

PROGRAM: Final = "tracehub"


def main() -> None:
    """Copy it, and print what the copy holds as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tracehub_server.snapshot", description=__doc__)
    parser.add_argument("file", type=Path)
    target = parser.parse_args().file.absolute()
    try:
        settings = read_settings(os.environ, {})
        entries = snapshot(settings.path, target)
    except SettingError as error:
        give_up(PROGRAM, str(error), BAD_SETTING)
    except TraceHubError as error:
        give_up(PROGRAM, str(error), 1)
    sys.stdout.write(encode({"file": str(target), "entries": entries, "bytes": target.stat().st_size}).decode() + "\n")


main()
