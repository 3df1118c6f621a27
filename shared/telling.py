"""What the smaller programs of the server print: one JSON object, on standard output."""

import os
from typing import Any

from shared.env import PROGRAM, give_up
from shared.wire import encode


def tell(answer: Any) -> None:
    """Print it, or give up. Where the shell has closed the output it goes nowhere."""
    try:
        print(encode(answer).decode(), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the flush at exit would fail again, and end with another code
        give_up(PROGRAM, f"standard output: {error.strerror}", 1)
