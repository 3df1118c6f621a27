"""What both services share of HTTP: routes, errors to statuses, who may, the way to the other port, start and stop."""

from shared.web.problems import answer, problems, refusal
from shared.web.routes import ACCESS, CLIENT, Access, openapi, set_up
from shared.web.serve import CANCEL_HANDLERS, make_runner, run, running

__all__ = [
    "ACCESS",
    "CANCEL_HANDLERS",
    "CLIENT",
    "Access",
    "answer",
    "make_runner",
    "openapi",
    "problems",
    "refusal",
    "run",
    "running",
    "set_up",
]
