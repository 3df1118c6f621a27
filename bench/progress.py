"""What a section is doing, on standard error, so that nobody wonders whether it still runs."""

import sys
import time
from types import TracebackType


class Progress:
    """Lines like `ingest 2/3  0:41  batch 100: decode`."""

    def __init__(self, section: str, rounds: int) -> None:
        self._section = section
        self._rounds = rounds
        self._round = 1
        self._started = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.step("done" if kind is None else f"failed: {error}")

    def begin(self, number: int) -> None:
        """A round begins."""
        self._round = number

    def step(self, text: str) -> None:
        """Something begins."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        line = f"{self._section:9} {self._round}/{self._rounds}  {minutes}:{seconds:02}  {text}"
        print(line, file=sys.stderr, flush=True)
