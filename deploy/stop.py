"""`python -m tracehub_server.stop`: end the supervised server of the database that TRACEHUB_DB names."""

import os
import sys
from typing import Final

from shared.env import BAD_SETTING, SettingError, give_up, read_settings
from shared.errors import TraceHubError
from shared.pidfile import stop
from shared.wire import encode

PROGRAM: Final = "tracehub"


def main() -> None:
    """End it, and print its pid as JSON once it has ended."""
    try:
        settings = read_settings(os.environ, {})
        pid = stop(settings.path)
    except SettingError as error:
        give_up(PROGRAM, str(error), BAD_SETTING)
    except TraceHubError as error:
        give_up(PROGRAM, str(error), 1)
    sys.stdout.write(encode({"pid": pid}).decode() + "\n")


main()
