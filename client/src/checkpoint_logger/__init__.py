"""Checkpoints: where a request enters (`->`) and leaves (`<-`) a step, in the log and, with TRACEHUB_URL, in TraceHub.

log = get_checkpoint_logger("MA")
set_correlation_id("req-12345")
log.checkpoint_entry("REST", "/api/agents", {"id": "123"})
log.checkpoint_exit("REST", "/api/agents", {"status": "ok"})
"""

from checkpoint_logger.checkpoints import Checkpoint, CheckpointLogger, get_checkpoint_logger
from checkpoint_logger.correlation import (
    carry,
    get_correlation_id,
    new_correlation_id,
    reset_correlation_id,
    set_correlation_id,
)
from checkpoint_logger.line import parse_line

__all__ = [
    "Checkpoint",
    "CheckpointLogger",
    "carry",
    "get_checkpoint_logger",
    "get_correlation_id",
    "new_correlation_id",
    "parse_line",
    "reset_correlation_id",
    "set_correlation_id",
]
