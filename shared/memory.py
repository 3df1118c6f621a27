"""How much memory the process has. What was used for a moment goes back, and nobody waits for the search for garbage.

The C library raises, with each large block that is freed, the size from which a block comes from the system itself.
After one body of 16 MiB such blocks are cut from the heap, where the least thing behind them keeps them for good.
"""

import ctypes
import gc
import resource
import sys
from pathlib import Path
from typing import Final

LARGE: Final = 2**20  # bytes
COLLECT_AFTER: Final = (10_000, 20, 50)  # objects, young collections, middle ones: garbage with cycles is rare here

_MMAP_THRESHOLD: Final = -3  # of mallopt(3)
_TRIM_THRESHOLD: Final = -1


def give_large_blocks_back() -> None:
    """Have large blocks come from the system and return to it, in this process from now on; glibc only."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_TRIM_THRESHOLD, 2 * LARGE)  # or the heap would shrink and grow with every read from a socket


def search_less_for_garbage() -> None:
    """Leave what is loaded out of every collection, and have few: a whole one takes 10 to 20 ms under load."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def memory_bytes() -> int:
    """What this process has in memory now; where the system does not tell, the most it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()
