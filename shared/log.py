"""The log: one line for each thing that happened, whatever text from outside it repeats.

A line break in a name would forge a line, an escape sequence would be obeyed by the terminal that shows the log.
"""

import logging
import sys
from typing import Any


def set_up_log() -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def printable(text: str) -> str:
    """Text from outside on one line, without what a terminal would obey or no encoding carries."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class Printable(logging.Formatter):
    """Leaves nothing but printable text; a traceback stays several lines, none of which looks like one of the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The line itself."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        """The traceback, indented."""
        return "\n".join(f"    {printable(line)}" for line in super().formatException(ei).split("\n"))
