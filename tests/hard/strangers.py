"""Whoever has no right to."""

PROMISE = (
    "Nobody reads, writes or deletes without permission, under a foreign host name, from a foreign page, or beyond "
    "their share"
)
HOW = "Foreign Host and Origin, no secret and wrong ones, forged cookies, guesses, floods of calls and streams"
SHORT = ("test_origins.py", "test_login.py", "test_fair_share.py")
