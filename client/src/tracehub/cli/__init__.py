"""The commands kbc, kiberos and tracehub: the extra `tracehub[cli]`. The rest of the package does without it.

Exit codes: 0 done, 1 not so (not found, not reached, refused), 2 wrong use, 3 a service is down (`status`), 69 the
server cannot be reached, 77 it refuses the secret, 130 interrupted. Data goes to standard output, the rest to
standard error.
"""

from __future__ import annotations

import sys


def kbc() -> None:
    """`kbc tracehub start|status`, `kbc trace show`."""
    _run("kbc")


def kiberos() -> None:
    """`kiberos trace list|current`."""
    _run("kiberos")


def tracehub() -> None:
    """Every command under one name."""
    _run("tracehub")


def _run(name: str) -> None:
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        sys.exit(f"{name}: {error.name} is not installed: pip install './client[cli]' in a checkout of TraceHub")
    from tracehub.cli.program import run

    run(name)
