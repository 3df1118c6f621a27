"""How long tests wait for what has to come: longer than any machine takes, for only a test that fails waits so long."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 60.0


def wait_until(condition: Callable[[], Any], told: Callable[[], object] = lambda: "waited in vain") -> Any:
    """What the condition gives as soon as it is true; `told` is what a failure shows."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.01)
    return result
