"""`python -m query_svc`: the query service alone, in the foreground."""

import gc

import shared.scarcity  # noqa: F401  # first, for all other imports
from query_svc.app import make_app
from shared.env import start_settings
from shared.web import run


def main() -> None:
    """Read the settings and serve."""
    settings = start_settings("query_svc", "Answers for checkpoint traces.", "query_port", "query_secret")
    app = make_app(settings)
    gc.freeze()  # what is imported stays; a collection that walks through it would hold up every answer
    run("query_svc", app, settings, "query_port")


main()
