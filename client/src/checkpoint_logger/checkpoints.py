"""The logger of checkpoints: on when CHECKPOINT_TRACING says so, next to nothing when off, and never in the way.

The environment is read at the first checkpoint, and at the first after each `get_checkpoint_logger`.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import threading
import time
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar

from checkpoint_logger.correlation import in_force, new_correlation_id, reset_correlation_id, set_correlation_id
from checkpoint_logger.line import format_line
from checkpoint_logger.suffix import new_suffix
from tracehub.client import get_tracehub_client
from tracehub.entry import Fields, this_host
from tracehub.plain import error_text
from tracehub.redaction import Redaction
from tracehub.settings import read_words
from tracehub.trouble import say

Function = TypeVar("Function", bound=Callable[..., Any])
Data = Optional[Mapping[str, Any]]
ON, OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


class _Switch:
    """Whether checkpoints are written. Neither on nor off: not asked yet."""

    on = False
    off = False
    redaction = Redaction()

    def forget(self) -> None:
        self.on = self.off = False

    def is_on(self) -> bool:
        return self.on or (not self.off and self._read())

    def _read(self) -> bool:
        self.redaction = Redaction(read_words("TRACEHUB_REDACT"))
        text = os.environ.get("CHECKPOINT_TRACING", "").strip().lower()
        self.on = text in ON
        self.off = not self.on
        if self.off and text not in OFF:
            say("setting CHECKPOINT_TRACING", "CHECKPOINT_TRACING=%r cannot be used, checkpoints are off", text)
        return self.on


_switch = _Switch()
_writing = threading.local()


class CheckpointLogger:
    """Writes the checkpoints of one source, `source_id`. Nothing it is given makes it raise or wait."""

    def __init__(self, source_id: str) -> None:
        self.source_id = source_id
        self._host = this_host()
        self._log = logging.getLogger(f"checkpoint.{source_id}")

    def checkpoint_entry(self, operation: str, endpoint: str, data: Data = None) -> None:
        """A request enters a step."""
        if _switch.off:
            return
        self._pass("->", operation, endpoint, data)

    def checkpoint_exit(self, operation: str, endpoint: str, data: Data = None) -> None:
        """A request leaves a step; `operation` and `endpoint` are those of its entry."""
        if _switch.off:
            return
        self._pass("<-", operation, endpoint, data)

    def checkpoint(self, operation: str, endpoint: str, data: Data = None) -> Checkpoint:
        """Both: for a `with` block, or as a decorator of a function or coroutine function.

        A generator needs the block inside it: a decorator would see it made, not run.
        """
        return Checkpoint(self, operation, endpoint, data)

    def _pass(
        self, direction: str, operation: str, endpoint: str, data: Data, correlation_id: str | None = None
    ) -> None:
        try:
            if not _switch.is_on():
                return
            correlation_id = correlation_id or in_force.get()
            if correlation_id is None:
                correlation_id = new_correlation_id()
                in_force.set(correlation_id)
            fields: Fields = (
                self.source_id, correlation_id, time.time() * 1000, new_suffix(), direction, operation, endpoint, data,
                self._host, None,
            )  # fmt: skip
            client = get_tracehub_client()
            if client is not None:
                client.send_fields(fields)
            if self._log.isEnabledFor(logging.INFO):
                self._write(fields)
        except Exception as error:
            say("checkpoint", "a checkpoint failed: %s", error_text(error))

    def _write(self, fields: Fields) -> None:
        if getattr(_writing, "now", False):
            return  # a handler that passes checkpoints itself would feed itself for ever
        _writing.now = True
        try:
            self._log.info("%s", format_line(fields, _switch.redaction))
        finally:
            _writing.now = False


class Checkpoint:
    """An entry when the block begins, an exit when it ends, with `{"error": "TypeName: text"}` when it raises.

    What the block puts into `exit_data` goes with the exit. With no correlation id in force, the block gets its own.
    The exit has the id of the entry, whatever is in force when the block ends: a generator that was left half-way ends
    wherever it is collected.
    """

    def __init__(self, log: CheckpointLogger, operation: str, endpoint: str, data: Data) -> None:
        self._log = log
        self._operation = operation
        self._endpoint = endpoint
        self._data = data
        self._token: Token[str | None] | None = None
        self._correlation_id: str | None = None
        self.exit_data: Data = None

    def __enter__(self) -> Checkpoint:
        if _switch.is_on() and in_force.get() is None:
            self._token = set_correlation_id(new_correlation_id())
        self._log.checkpoint_entry(self._operation, self._endpoint, self._data)
        self._correlation_id = in_force.get()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not _switch.off:
            data = self.exit_data if error is None else _with_error(self.exit_data, error)
            self._log._pass("<-", self._operation, self._endpoint, data, self._correlation_id)
        if self._token is not None:
            reset_correlation_id(self._token)

    def __call__(self, function: Function) -> Function:
        log, operation, endpoint, data = self._log, self._operation, self._endpoint, self._data

        @functools.wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            with Checkpoint(log, operation, endpoint, data):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def traced_coroutine(*args: Any, **kwargs: Any) -> Any:
            with Checkpoint(log, operation, endpoint, data):
                return await function(*args, **kwargs)

        return traced_coroutine if inspect.iscoroutinefunction(function) else traced  # type: ignore[return-value]


def _with_error(data: object, error: BaseException) -> dict[str, Any]:
    told = {"error": error_text(error)}
    try:
        return told if data is None else {**(data if isinstance(data, Mapping) else {"value": data}), **told}
    except Exception:  # a mapping that cannot be read must not take the place of what the block raised
        return told


_loggers: dict[str, CheckpointLogger] = {}


def get_checkpoint_logger(source_id: str) -> CheckpointLogger:
    """The logger of a source, usually named by two letters; the same one each time."""
    _switch.forget()
    return _loggers.setdefault(source_id, CheckpointLogger(source_id))
