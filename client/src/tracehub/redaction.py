"""Which keys look like secrets. Their values never leave the process."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

SECRET_WORDS = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "authorization", "apikey", "accesskey",
    "privatekey", "signingkey", "cookie", "credential", "sessionid", "jwt",
)  # fmt: skip
_PUNCTUATION = re.compile(r"[\W_]+")
_REMEMBERED = 10_000  # keys; more than that are not field names, and the memory starts anew
_LONGEST = 256  # characters of a key that is remembered


class Redaction:
    """Says of a key whether its value is masked: whether one of the words occurs in it, case and punctuation aside.

    `words` adds to the built-in ones; a word with a leading `-` takes one away, and `-*` takes away all built-in ones.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = tuple(sorted(_chosen(words)))
        self._harmless: set[object] = set()

    def is_secret(self, key: str) -> bool:
        if key in self._harmless:
            return False
        bare = _bare(key)
        if any(word in bare for word in self._words):
            return True
        if len(key) > _LONGEST:
            return False
        if len(self._harmless) >= _REMEMBERED:
            self._harmless.clear()
        self._harmless.add(key)
        return False

    def spares(self, keys: Collection[object]) -> bool:
        """Whether all `keys` are known to be harmless strings, or turn out to be."""
        return self._harmless.issuperset(keys) or all(type(key) is str and not self.is_secret(key) for key in keys)


def _chosen(words: Iterable[str]) -> set[str]:
    chosen = set(SECRET_WORDS)
    for word in words:
        if word.strip() == "-*":
            chosen -= set(SECRET_WORDS)
        elif word.strip().startswith("-"):
            chosen.discard(_bare(word))
        elif _bare(word):
            chosen.add(_bare(word))
    return chosen


def _bare(key: str) -> str:
    return _PUNCTUATION.sub("", key).lower()
