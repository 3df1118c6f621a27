"""What both services share of HTTP: routes, errors to statuses, who may, the way to the other port, start and stop."""

from shared.web.access import ACCESS, Access
from shared.web.connection import TAKE
from shared.web.draining import DRAINING
from shared.web.exchange import Exchange, Head, Take
from shared.web.health import health_answer
from shared.web.problems import answer, problems, refusal
from shared.web.routes import CLIENT, openapi, set_up
from shared.web.serve import CANCEL_HANDLERS, make_runner, run, running

__all__ = [
    "ACCESS",
    "CANCEL_HANDLERS",
    "CLIENT",
    "DRAINING",
    "TAKE",
    "Access",
    "Exchange",
    "Head",
    "Take",
    "answer",
    "health_answer",
    "make_runner",
    "openapi",
    "problems",
    "refusal",
    "run",
    "running",
    "set_up",
]
