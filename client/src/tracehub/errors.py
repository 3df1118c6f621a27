"""What reading from TraceHub can raise; sending raises nothing.

TraceHubError
├── Unreachable     no answer: refused, timed out, not HTTP, a redirect that leads nowhere
│   └── NoAddress   what was to be asked is not an http or https address
└── Refused         the server answered, with `status` and its `detail`
"""

from __future__ import annotations


class TraceHubError(Exception):
    """Something between here and the server went wrong; `may_pass`: the same may succeed later."""

    may_pass = True


class Unreachable(TraceHubError):
    """There was no answer that could be understood."""


class NoAddress(Unreachable, ValueError):
    """Nothing was asked, for what was given names no place, or no secret."""

    may_pass = False


class Refused(TraceHubError):
    """The server said no. `status` is the HTTP status, `detail` its reason, `wait_s` what it asked to wait."""

    def __init__(self, status: int, detail: str, wait_s: float | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.wait_s = wait_s
        self.may_pass = status == 429 or status >= 500
