"""Which entries report an error: the one rule for it, read from the sender's own `data`.

The top level of `data` holds a truthy `error` or `exception`, or `status` or `status_code` is a number of 500 or more,
or the text `error` or `failed` in any case.
"""

from typing import Any, Final

import msgspec

FAILED_STATUS: Final = 500  # and above, as in HTTP
FAILED_WORDS: Final = frozenset(("error", "failed"))


class _Told(msgspec.Struct, gc=False):
    error: Any = None
    exception: Any = None
    status: Any = None
    status_code: Any = None


_told: Final = msgspec.json.Decoder(_Told).decode


def reports_error(data: str) -> bool:
    """Whether `data`, as JSON text, says that something failed; keys with escapes in them are not looked at.

    Most entries have none of the words in their text, and cost a search for each and no parsing.
    """
    # "ception" for "exception": in texts of repeated letters the search skips further without the x.
    return ('"error"' in data or '"status' in data or 'ception"' in data) and _says_so(data)


def _says_so(data: str) -> bool:
    try:
        told = _told(data)
    except (ValueError, RecursionError):  # a number that no double holds, such as 1e400
        return False
    return bool(told.error or told.exception) or _is_failure(told.status) or _is_failure(told.status_code)


def _is_failure(status: object) -> bool:
    if isinstance(status, str):
        return status.lower() in FAILED_WORDS
    return isinstance(status, int | float) and status >= FAILED_STATUS
