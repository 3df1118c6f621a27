"""`python -m tracehub_server.stop`: end the supervised server of the database that TRACEHUB_DB names."""

import os

from shared.env import PROGRAM, failing_in_one_line, read_settings
from shared.pidfile import stop
from shared.telling import tell


def main() -> None:
    """End it, and print its pid as JSON once it has ended."""
    with failing_in_one_line(PROGRAM):
        pid = stop(read_settings(os.environ, {}).path)
    tell({"pid": pid})


main()
