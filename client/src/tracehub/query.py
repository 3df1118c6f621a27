"""Reading: chains, the list of chains, and a chain as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Callable
from urllib.parse import quote

from tracehub.connection import Connection, reason
from tracehub.errors import Unreachable
from tracehub.following import Following, Json, ask, entries
from tracehub.plain import repaired
from tracehub.settings import first_secret, number, read_secret

SILENCE_S = 45.0  # three heartbeats: a stream that is silent for longer is dead
STREAM_S = 60  # unless another time is given
LATE_S = 5.0  # that the end of a stream may take beyond its time


class TraceHubQueryClient:
    """Asks either port of a TraceHub. `timeout` is in seconds for each answer; `secret` is TRACEHUB_QUERY_SECRET where
    it is None. What goes wrong is raised as a TraceHubError. Several threads may share it.
    """

    def __init__(self, base_url: str, timeout: float = 10.0, *, secret: str | None = None) -> None:
        self.base_url = (base_url or "").strip().rstrip("/")
        self.timeout = number("timeout", timeout, float, 10.0, 0.001)
        self._secret = secret

    def get_traces(self, correlation_id: str, source_id: str | None = None) -> Json:
        """The chain, all pages of it: `{"correlation_id", "traces", "count", "complete", "expired", "next": None}`."""
        path = f"/traces/{quoted(correlation_id)}"
        asked: dict[str, Any] = {"source": source_id} if source_id else {}
        connection = self._connect(self.timeout)
        try:
            chain = page = ask(connection, path, asked)
            traces = chain["traces"]
            while page.get("next") is not None:
                page = ask(connection, path, {**asked, "after": page["next"]})
                traces += page["traces"]
                chain.update({key: value for key, value in page.items() if key != "traces"})
        except (KeyError, TypeError) as error:
            raise Unreachable(f"not the answer of a TraceHub: {reason(error)}") from error
        finally:
            connection.close()
        return chain

    def list_correlations(self, limit: int = 50) -> Json:
        """The chains with the newest activity: `{"correlations": [...], "count", "next"}`."""
        connection = self._connect(self.timeout)
        try:
            return ask(connection, "/correlations", {"limit": limit})
        finally:
            connection.close()

    def stream_traces(
        self, correlation_id: str, callback: Callable[[Json], Any], timeout: int | None = STREAM_S
    ) -> None:
        """Call `callback` with each entry of the chain, stored ones first, until `timeout` seconds have passed."""
        for entry in self.stream(correlation_id, timeout):
            callback(entry)

    def stream(
        self, correlation_id: str, timeout: int | None = STREAM_S, *, on_event: Callable[[str, Json], Any] | None = None
    ) -> Iterator[Json]:
        """Each entry of the chain, once and in order, for `timeout` seconds; a lost connection is taken up again.

        Where the server cannot keep that promise it says so: `on_event("gap", {"from", "to"})` when retention removed
        what was missed, `on_event("reset", {...})` when the file was replaced and all comes anew. Without `on_event`
        both are logged.
        """
        timeout = STREAM_S if timeout is None else timeout
        connect = partial(self._connect, max(self.timeout, min(SILENCE_S, timeout + LATE_S)))
        following = Following(connect, f"/traces/{quoted(correlation_id)}/stream", {}, timeout)
        for _, entry in entries(following, on_event):
            yield entry

    def _connect(self, timeout_s: float) -> Connection:
        secret = read_secret("TRACEHUB_QUERY_SECRET") if self._secret is None else self._secret
        return Connection(self.base_url, timeout_s, first_secret(secret))


def quoted(correlation_id: str) -> str:
    """As one segment of a path, as it was sent: a segment of dots only would be taken for a step up."""
    quoted = quote(repaired(correlation_id), safe="")
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted
