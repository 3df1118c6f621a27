"""The correlation id in force: one per context, so that threads and tasks do not see each other's.

Where none was put in force it is the one that the process was started under, TRACEHUB_CORRELATION_ID, if there is one.
"""

from __future__ import annotations

import functools
import os
from contextvars import ContextVar, Token
from typing import Any, Callable, TypeVar

Result = TypeVar("Result")

_NAMES = ("__module__", "__name__", "__qualname__", "__doc__")

_started_under = os.environ.get("TRACEHUB_CORRELATION_ID") or None

in_force: ContextVar[str | None] = ContextVar("correlation_id", default=_started_under)


def new_correlation_id() -> str:
    """A random id of 32 hexadecimal digits, which is a W3C trace id as well."""
    return os.urandom(16).hex()


def set_correlation_id(correlation_id: str | None) -> Token[str | None]:
    """Put an id in force for this context; an empty one becomes a new one, None means none.

    The token undoes it: `reset_correlation_id(token)`.
    """
    if correlation_id is None:
        return in_force.set(None)
    return in_force.set(str(correlation_id) or new_correlation_id())


def get_correlation_id() -> str | None:
    """The id in force in this context, None where there is none."""
    return in_force.get()


def reset_correlation_id(token: Token[str | None]) -> None:
    """Put back what was in force before `token` was made. In a context other than the token's it does nothing."""
    try:
        in_force.reset(token)
    except (ValueError, RuntimeError):
        return  # closed from another task, or twice: there is nothing of ours to put back


def carry(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function` with the id that is in force now, for executors, which start with an empty context.

    pool.submit(carry(work), order)

    It can be pickled where `function` can, for executors whose workers are processes.
    """
    carried = functools.partial(_under, get_correlation_id(), function)
    return functools.update_wrapper(carried, function, _NAMES, ())


def _under(correlation_id: str | None, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
    token = set_correlation_id(correlation_id)
    try:
        return function(*args, **kwargs)
    finally:
        reset_correlation_id(token)
