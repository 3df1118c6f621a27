"""logging: the correlation id on every record.

handler.addFilter(CorrelationFilter())
handler.setFormatter(logging.Formatter("%(asctime)s %(correlation_id)s %(message)s"))
"""

from __future__ import annotations

import logging

from checkpoint_logger.correlation import get_correlation_id


class CorrelationFilter(logging.Filter):
    """Lets every record pass and gives it `correlation_id`: the one in force where it was logged, else `none`."""

    def __init__(self, none: str = "-") -> None:
        super().__init__()
        self._none = none

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "correlation_id"):
            record.correlation_id = get_correlation_id() or self._none
        return True
