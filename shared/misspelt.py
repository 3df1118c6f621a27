"""Variables that look like settings and are none. They are named, not refused: a newer release may know them."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final

PREFIX: Final = "TRACEHUB_"
ELSEWHERE: Final = frozenset(
    {
        "TRACEHUB_BATCH_SIZE",
        "TRACEHUB_CORRELATION_ID",
        "TRACEHUB_FLUSH_INTERVAL",
        "TRACEHUB_PYTHON",
        "TRACEHUB_REDACT",
        "TRACEHUB_RETRY_COUNT",
        "TRACEHUB_SPOOL",
        "TRACEHUB_SPOOL_MB",
        "TRACEHUB_SUPERVISOR",
        "TRACEHUB_TIMEOUT",
        "TRACEHUB_URL",
    }
)
"""What the client reads, and what the supervisor hands on to its configuration."""

_OF_A_CLUSTER: Final = re.compile(rf"{PREFIX}(SERVICE_|PORT_\d+_)")  # Kubernetes tells of a service named tracehub


def misspelt(environ: Mapping[str, str], settings: frozenset[str]) -> Iterator[str]:
    """A line for each variable that nothing reads, with the name that was probably meant."""
    known = {name.removeprefix(PREFIX): name for name in settings | ELSEWHERE}
    for name, value in sorted(environ.items()):
        kind = name.removeprefix(PREFIX)
        if kind == name or kind in known or not value.strip() or _OF_A_CLUSTER.match(name):
            continue
        near = difflib.get_close_matches(kind, known, 1)
        yield f"{name} is no setting and is ignored" + (f": {known[near[0]]} was probably meant" if near else "")
