"""`tracehub send`: one checkpoint from a shell script, stored when the command ends with 0."""

from __future__ import annotations

import socket
import time
from typing import Any

import click
from rich.text import Text

from tracehub.cli.command import command, complete_id
from tracehub.cli.hub import Hub
from tracehub.cli.ids import VARIABLE, in_force
from tracehub.cli.reading import told
from tracehub.cli.words import clean
from tracehub.encoding import Encoder
from tracehub.entry import freeze
from tracehub.following import parsed
from tracehub.redaction import Redaction
from tracehub.settings import read_words

DIRECTIONS = {"->": "->", "entry": "->", "<-": "<-", "exit": "<-"}


@command(
    "send",
    short_help="Send one checkpoint.",
    examples=[
        "{} '->' SH backup /var",
        "{} '<-' SH backup /var --data status=ok --data files=1204",
        '{} entry SH deploy web --id deploy-17 --data \'{{"version": "1.2"}}\'',
    ],
)
@click.argument("direction", type=click.Choice(list(DIRECTIONS)), metavar="DIRECTION")
@click.argument("source")
@click.argument("operation")
@click.argument("endpoint")
@click.option(
    "--data",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="KEY=VALUE, a JSON value is taken as such; or one JSON object.",
)
@click.option(
    "--id",
    "id",
    metavar="ID",
    shell_complete=complete_id,
    help=f"Correlation id ({VARIABLE}, or that of tracehub new).",
)
def send_command(
    hub: Hub, direction: str, source: str, operation: str, endpoint: str, pairs: tuple[str, ...], id: str | None
) -> int:
    """Send one checkpoint: '->' (or entry) where a step begins, '<-' (or exit) where it ends.

    It is stored when the command ends with 0. Values of keys that look like secrets are masked.
    """
    for name, text in (("source", source), ("id", id)):
        if text == "":
            raise click.UsageError(f"the {name} is empty", click.get_current_context())
    correlation_id = id or in_force()[0]
    if not correlation_id:
        raise click.UsageError('no correlation id: give --id, or make one with  eval "$(tracehub new --export)"')
    fields = (source, correlation_id, time.time() * 1000, _suffix(), DIRECTIONS[direction], operation, endpoint)
    text = Encoder(Redaction(read_words("TRACEHUB_REDACT"))).encode(
        freeze((*fields, _data(pairs), socket.gethostname(), None))
    )
    connection = hub.sender()
    try:
        with hub.screen.patience(f"sending to {hub.sending} ..."):
            answer = connection.ask(
                "POST", "/ingest/single", (text or "").encode(), {"Content-Type": "application/json"}
            )
    finally:
        connection.close()
    receipt = told(answer)
    if hub.screen.json:
        hub.screen.data({**receipt, "correlation_id": correlation_id})
    else:
        hub.screen.line(Text(clean(f"{DIRECTIONS[direction]} {source} {operation} {endpoint}  in {correlation_id}")))
    return 0


def _data(pairs: tuple[str, ...]) -> dict[str, Any] | None:
    data: dict[str, Any] = {}
    for pair in pairs:
        if pair.lstrip().startswith("{"):
            whole = _value(pair)
            if not isinstance(whole, dict):
                raise click.BadParameter(f"not a JSON object: {pair!r}", param_hint="--data")
            data.update(whole)
            continue
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"expected KEY=VALUE or a JSON object, not {pair!r}", param_hint="--data")
        data[key] = _value(value)
    return data if pairs else None


def _value(text: str) -> Any:
    try:
        return parsed(text)
    except (ValueError, RecursionError):
        return text


def _suffix() -> str:
    from checkpoint_logger.suffix import new_suffix

    return new_suffix()
