"""Celery: the correlation id travels with the message, each run of a task is a pair of checkpoints.

A task that runs where it is called, as eager ones do, has the id in force there.

trace_celery("WK")      # once, in the module that makes the app: producers and workers alike
"""

from __future__ import annotations

import sys
from typing import Any, Optional

from celery import signals

from checkpoint_logger import (
    Checkpoint,
    get_checkpoint_logger,
    get_correlation_id,
    reset_correlation_id,
    set_correlation_id,
)
from tracehub.integrations.propagation import incoming_id, outgoing_headers
from tracehub.plain import error_text

Run = tuple[Any, Optional[Checkpoint]]

_running: dict[str, list[Run]] = {}  # one within the other where an eager task is replaced, which keeps its id


def trace_celery(source_id: str | None = None) -> None:
    """Connect to Celery's signals. The operation is TASK, the endpoint the task's name; without a `source_id` there are
    no checkpoints, only the id.
    """
    log = get_checkpoint_logger(source_id) if source_id else None

    def publish(headers: dict[str, Any] | None = None, **_: Any) -> None:
        if headers is not None:
            headers.update(outgoing_headers(headers))

    def begin(task_id: str, task: Any, **_: Any) -> None:
        called_here = get_correlation_id() if task.request.is_eager else None
        token = set_correlation_id(called_here or incoming_id(lambda name: _header(task.request, name)))
        point = log.checkpoint("TASK", task.name, {"id": task_id}) if log is not None else None
        if point is not None:
            point.__enter__()
        _running.setdefault(task_id, []).append((token, point))

    def end(task_id: str, state: str | None = None, **_: Any) -> None:
        runs = _running.get(task_id) or [(None, None)]
        token, point = runs.pop()
        if not runs:
            _running.pop(task_id, None)
        if point is not None:
            point.exit_data = {"state": state or "", **(point.exit_data or {})}
            broken_off = state is None  # the worker ends in the middle of it, by a time limit for instance
            point.__exit__(*(sys.exc_info() if broken_off else (None, None, None)))
        if token is not None:
            reset_correlation_id(token)

    def fail(task_id: str, exception: BaseException, **_: Any) -> None:
        point = _innermost(task_id)[1]
        if point is not None:
            point.exit_data = {"error": error_text(exception)}

    uid = "tracehub"
    signals.before_task_publish.connect(publish, weak=False, dispatch_uid=uid)
    signals.task_prerun.connect(begin, weak=False, dispatch_uid=uid)
    signals.task_failure.connect(fail, weak=False, dispatch_uid=uid)
    signals.task_retry.connect(_retried, weak=False, dispatch_uid=uid)
    signals.task_postrun.connect(end, weak=False, dispatch_uid=uid)


def _innermost(task_id: str) -> Run:
    return _running[task_id][-1] if task_id in _running else (None, None)


def _retried(request: Any, reason: Any, **_: Any) -> None:
    point = _innermost(request.id)[1]
    if point is not None:
        point.exit_data = {"error": error_text(reason) if isinstance(reason, BaseException) else str(reason)}


def _header(request: Any, name: str) -> str | None:
    headers = request.headers or {}
    value = headers.get(name) or request.get(name)
    return value if isinstance(value, str) else None
