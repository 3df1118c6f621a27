"""`python -m tracehub_server.stop`: end the supervised server of the database that TRACEHUB_DB names."""

import os
import sys

from shared.env import PROGRAM, failing_in_one_line, read_settings
from shared.pidfile import stop
from shared.wire import encode


def main() -> None:
    """End it, and print its pid as JSON once it has ended."""
    with failing_in_one_line(PROGRAM):
        pid = stop(read_settings(os.environ, {}).path)
    sys.stdout.write(encode({"pid": pid}).decode() + "\n")


main()
