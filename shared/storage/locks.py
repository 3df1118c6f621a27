"""Locks on files, which end with their process: one has it, others look whether somebody does."""

import fcntl
import time
from typing import Final

TRIES: Final = 5  # at a lock that another process has
LOOKS: Final = 1_000  # at one that only those have who look: for a moment, long on a busy machine
TRY_S: Final = 0.01


def locked(file: int) -> bool:
    """Take the lock, unless another process has it. Those who only look are waited for."""
    tries = TRIES
    for _ in range(LOOKS):
        if _flocked(file, fcntl.LOCK_EX):
            return True
        if is_free(file):
            fcntl.flock(file, fcntl.LOCK_UN)
        elif (tries := tries - 1) == 0:
            return False
        time.sleep(TRY_S)
    return False


def is_free(file: int) -> bool:
    """Whether no process has the lock; until the file is closed nobody else gets it then, and all may look."""
    return _flocked(file, fcntl.LOCK_SH)


def _flocked(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
