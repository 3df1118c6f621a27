"""The correlation id in log records: logging and structlog."""

from __future__ import annotations

import io
import logging

import structlog
from checkpoint_logger import reset_correlation_id, set_correlation_id
from tracehub.integrations.logs import CorrelationFilter
from tracehub.integrations.structlog import add_correlation_id


def test_the_filter_gives_every_record_the_id_in_force() -> None:
    """Records of any logger pass and carry the id, a dash where there is none, their own where they have one."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(CorrelationFilter())
    handler.setFormatter(logging.Formatter("%(correlation_id)s %(message)s"))
    logger = logging.getLogger("test.correlation")
    logger.addHandler(handler)
    logger.propagate = False
    logger.warning("before")
    token = set_correlation_id("req-1")
    logger.warning("within")
    logger.warning("own", extra={"correlation_id": "mine"})
    reset_correlation_id(token)
    assert out.getvalue() == "- before\nreq-1 within\nmine own\n"


def test_the_structlog_processor_adds_the_id() -> None:
    """To every event that has none; nothing where none is in force."""
    logger = structlog.wrap_logger(
        structlog.ReturnLogger(), processors=[add_correlation_id, structlog.processors.JSONRenderer(sort_keys=True)]
    )
    assert logger.info("before") == '{"event": "before"}'
    token = set_correlation_id("req-1")
    assert logger.info("within") == '{"correlation_id": "req-1", "event": "within"}'
    assert logger.bind(correlation_id="mine").info("own") == '{"correlation_id": "mine", "event": "own"}'
    reset_correlation_id(token)
