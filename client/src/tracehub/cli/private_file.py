"""Files that this user alone may read, and that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def in_place_of(output: Path) -> Iterator[IO[bytes]]:
    """A file of mode 0600 that takes the name `output` once it is whole; what is no file, such as a pipe, itself."""
    try:
        if output.exists() and not output.is_file():
            with output.open("wb") as file:
                yield file
            return
        target = Path(os.path.realpath(output))
        number, name = tempfile.mkstemp(".partial", f"{target.name}.", target.parent)
        try:
            with os.fdopen(number, "wb") as file:
                yield file
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:  # of a file that nobody knows by its name
        raise OSError(error.errno, error.strerror, str(output)) from error
