"""What can go wrong, in the words of this project.

TraceHubError
├── BadRequest       a body or a parameter is malformed or breaks a rule
├── TooLarge         a limit on size or number is exceeded
├── TooSlow          a body did not arrive in time
├── Unsupported      a content type or encoding that nobody here reads
├── NotAllowed       no secret, or the wrong one, or a page of another origin
├── Misdirected      the request is for another host
├── Unavailable      not now: the answer says when to come back
│   ├── TooOften     not now: this client had its share
│   ├── Locked       not now: another program holds the file
│   ├── DiskFull     not now, and somebody has to make room
│   └── FileFault    not now: the file failed below SQLite and has to be opened anew
├── Lost             whether entries are stored is not known: whoever sent them gets no answer
├── BadFile          the database file cannot be used; a service says so and does not start
└── Taken            another program has the port, or supervises; whoever starts says so and does not

`shared.web` holds the one table that maps these to HTTP statuses.
"""


class TraceHubError(Exception):
    """Root of everything that this project raises on purpose; `str()` is fit to show to a client."""


class BadRequest(TraceHubError):
    """The body or a parameter is malformed or breaks a rule.

    `path` names the place within a body that could be parsed, such as `$.traces[3].suffix`.
    """

    def __init__(self, detail: str, path: str | None = None) -> None:
        super().__init__(detail if path is None else f"{detail} - at `{path}`")
        self.path = path


class TooLarge(TraceHubError):
    """A body or a batch is over its limit; the message names the limit."""


class TooSlow(TraceHubError):
    """A body did not arrive in the time allowed."""


class Unsupported(TraceHubError):
    """The content type or encoding is not one that the contract names."""


class NotAllowed(TraceHubError):
    """A secret is required, or the request may not be made from where it came; `missing` tells an absent secret."""

    def __init__(self, detail: str, *, missing: bool) -> None:
        super().__init__(detail)
        self.missing = missing


class Misdirected(TraceHubError):
    """The request names a host that this service is not."""


class Unavailable(TraceHubError):
    """Nothing was stored or read, and trying again in `retry_after` seconds makes sense."""

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooOften(Unavailable):
    """This client asks too often, or holds too much; others are served."""


class Locked(Unavailable):
    """Another program holds a lock on the file."""


class DiskFull(Unavailable):
    """The file system, or the file's page limit, has no room left."""


class FileFault(Unavailable):
    """Reading or writing failed below SQLite; what the connection believes of the file can no longer be trusted."""


class Lost(TraceHubError):
    """Whoever was asked to store something ended before saying whether it did, so any status could be untrue."""


class BadFile(TraceHubError):
    """The database file cannot be used by this version: not ours, damaged, or newer."""


class Taken(TraceHubError):
    """Another program listens, or supervises, where this one should."""
