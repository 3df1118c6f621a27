"""One batch, posted until each of its entries has met its fate: stored, refused, or to be tried again."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional

from tracehub.answers import Fate, Verdict, judge
from tracehub.connection import MAX_ANSWER, Connection
from tracehub.errors import Unreachable
from tracehub.trouble import say

MAX_BATCH = 2000  # entries that go together when they gathered while the last batch was on its way

Connect = Callable[[Optional[float]], Connection]  # takes the most seconds that an answer may take, None for the usual


class Outcome(NamedTuple):
    """`rest` is what is neither sent nor dropped, in order; `verdict` says why."""

    sent: int
    dropped: int
    failed: int
    rest: list[str]
    verdict: Verdict


class Delivery:
    """Posts batches as `name` to `address`, over one connection that is made when needed."""

    def __init__(self, name: str, address: str, connect: Connect) -> None:
        self.address = address
        self._name = name
        self._connect = connect
        self._connection: Connection | None = None
        self._reported = 0  # drops that the server has been told of
        self.most = MAX_BATCH  # entries of a batch; less after the server has found one too large
        self._answer_within_s: float | None = None

    def deliver(self, texts: list[str], dropped_so_far: int) -> Outcome:
        """Post `texts`, split and without what is refused, until all is stored or the server cannot take more now."""
        sent = dropped = failed = 0
        parts = [texts] if texts else []
        while parts:
            part = parts.pop()
            verdict = self._post(part, dropped_so_far + dropped)
            if verdict.fate is Fate.STORED:
                sent += len(part)
                continue
            failed += 1
            if verdict.fate in (Fate.AGAIN, Fate.CLOSED):
                rest = [text for waiting in (part, *reversed(parts)) for text in waiting]
                return Outcome(sent, dropped, failed, rest, verdict)
            kept = self._smaller(part, verdict)
            dropped += len(part) - sum(map(len, kept))
            parts.extend(reversed(kept))
        return Outcome(sent, dropped, failed, [], Verdict(Fate.STORED))

    def reach(self) -> Verdict | None:
        """Connect where there is no connection; why not, where that fails. Nothing need be taken out for it."""
        try:
            self._connected().reach()
        except Unreachable as error:
            return Verdict(Fate.AGAIN, str(error))
        return None

    def limit(self, answer_within_s: float | None) -> None:
        """Wait no longer than this for an answer from now on; None: as long as usual."""
        self.close()
        self._answer_within_s = answer_within_s

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def let_go(self) -> None:
        """In a forked child: leave the connection to the parent."""
        if self._connection is not None:
            self._connection.let_go()
            self._connection = None

    def _post(self, texts: list[str], dropped: int) -> Verdict:
        headers = {"Content-Type": "application/json"}
        if dropped > self._reported:
            headers["X-TraceHub-Dropped"] = f"{self._name}={dropped}"
        body = f'{{"traces":[{",".join(texts)}]}}'.encode()
        try:
            verdict = judge(self._connected().ask("POST", "/ingest", body, headers, most=MAX_ANSWER))
        except Unreachable as error:
            return Verdict(Fate.AGAIN, str(error))
        if verdict.fate is Fate.STORED:
            self._reported = max(self._reported, dropped)
            self.most = min(MAX_BATCH, self.most * 2)
        elif verdict.fate is Fate.CLOSED:
            self.close()  # the next attempt reads the secret anew
        return verdict

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect(self._answer_within_s)
        return self._connection

    def _smaller(self, part: list[str], verdict: Verdict) -> list[list[str]]:
        """What to post instead of `part`, in order: without the refused entry where it is known, else in halves."""
        index = 0 if len(part) == 1 else verdict.place if verdict.fate is Fate.BAD else None
        if index is not None and index < len(part):
            say(f"refused {verdict.fate}", "the server refused an entry, it is dropped: %s", verdict.reason)
            rest = part[:index] + part[index + 1 :]
            return [rest] if rest else []
        half = len(part) // 2
        if verdict.fate is Fate.SPLIT:
            self.most = max(1, half)
        return [part[:half], part[half:]]
