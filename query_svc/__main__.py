"""`python -m query_svc`: the query service alone, in the foreground."""

from query_svc.app import make_app
from shared.env import start_settings
from shared.web import run


def main() -> None:
    """Read the settings and serve."""
    settings = start_settings("query_svc", "Answers for checkpoint traces.", "query_port", "query_secret")
    run("query_svc", make_app(settings), settings, "query_port")


main()
