"""Which entries report an error: the one rule for it, read from the sender's own `data`.

The top level of `data` holds a truthy `error` or `exception`, or `status` or `status_code` is a number of 500 or more,
or the text `error` or `failed` in any case.
"""

from typing import Final

import msgspec
from msgspec import Raw

FAILED_STATUS: Final = 500  # and above, as in HTTP
FAILED_WORDS: Final = frozenset(("error", "failed"))


LONG: Final = 1024  # bytes; a value that is longer says something, whatever it is

_NOTHING: Final = Raw(b"null")


class _Told(msgspec.Struct, gc=False):
    error: Raw = _NOTHING
    exception: Raw = _NOTHING
    status: Raw = _NOTHING
    status_code: Raw = _NOTHING


_told: Final = msgspec.json.Decoder(_Told).decode
_any: Final = msgspec.json.Decoder().decode


def may_report_error(text: str) -> bool:
    """Whether the `data` of an entry, or of many in one text, has a word in it that makes a closer look worth it."""
    # "ception" for "exception": in texts of repeated letters the search skips further without the x.
    return '"error"' in text or '"status' in text or 'ception"' in text


def reports_error(data: str) -> bool:
    """Whether `data`, as JSON text, says that something failed; keys with escapes in them are not looked at."""
    return may_report_error(data) and _says_so(data)


def _says_so(data: str) -> bool:
    try:
        told = _told(data)
        return bool(
            _value(told.error) or _value(told.exception) or _is_failure(told.status) or _is_failure(told.status_code)
        )
    except (ValueError, RecursionError):  # a number that no double holds, such as 1e400
        return False


def _value(raw: Raw) -> object:
    """The value, or True for a long one: millions of empty arrays as objects would take the memory of hundreds."""
    return True if len(memoryview(raw)) > LONG else _any(raw)


def _is_failure(raw: Raw) -> bool:
    status = _value(raw)
    if isinstance(status, str):
        return status.lower() in FAILED_WORDS
    return isinstance(status, int | float) and status >= FAILED_STATUS
