"""JSON taken apart to the letter: Python would round its numbers and keep the last of equal keys."""

from __future__ import annotations

import json

_BLANKS = " \t\r\n"
_end_of = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


def elements(text: str, at: int) -> tuple[list[str], int]:
    """The elements of an array, `at` being behind its bracket, and where it ends. Raises ValueError."""
    texts = []
    at = _past_blanks(text, at)
    while not text.startswith("]", at):
        _, end = _end_of(text, at)
        texts.append(text[at:end])
        at = _past_comma(text, end)
    return texts, at


def within(text: str, name: str) -> int:
    """Where the last member of that name in an object, an array, has its first element. Raises ValueError."""
    found = 0
    at = _past_blanks(text, text.index("{") + 1)
    while not text.startswith("}", at):
        key, end = _end_of(text, at)
        start = _past_blanks(text, text.index(":", end) + 1)
        found = start + 1 if key == name else found
        _, end = _end_of(text, start)
        at = _past_comma(text, end)
    return found


def _past_comma(text: str, at: int) -> int:
    at = _past_blanks(text, at)
    return _past_blanks(text, at + 1) if text.startswith(",", at) else at


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at
