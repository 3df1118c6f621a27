"""`python -m ingest_svc`: the ingest service alone, in the foreground."""

import shared.scarcity  # noqa: F401  # first, for all other imports
from ingest_svc.app import make_app
from shared.env import start_settings
from shared.web import run


def main() -> None:
    """Read the settings and serve."""
    settings = start_settings("ingest_svc", "Takes in checkpoint traces and stores them.", "port", "secret")
    run("ingest_svc", make_app(settings), settings, "port")


main()
