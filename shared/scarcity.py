"""A start that finds too little memory ends with one line, and one that Ctrl-C ends with none.

To be imported first: under `ulimit -v` an import may be what fails.
"""

import errno
import sys
from types import TracebackType
from typing import Final

SIGNS: Final = (
    "failed to map segment",
    "can't start new thread",
    "error return without exception set",
    "malloc failure",
)
"""What is said where a library, a thread or the interpreter itself finds none."""


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    is_scarce = isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM
    if is_scarce or any(sign in str(error) for sign in SIGNS):
        program = sys.orig_argv[sys.orig_argv.index("-m") + 1]
        reason = "there is not enough memory: ulimit -v, or the limit of a unit or a container, is too low"
        print(f"{program}: {reason}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _tell
