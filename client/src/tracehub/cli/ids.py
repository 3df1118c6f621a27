"""`tracehub new` and `tracehub current`: the correlation id in force in a shell."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from tracehub.cli.command import command
from tracehub.cli.hub import Hub, own_folder
from tracehub.cli.private_file import in_place_of
from tracehub.cli.words import age, clean
from tracehub.spool import make_private

VARIABLE = "TRACEHUB_CORRELATION_ID"
LONGEST = 512


def saved_at() -> Path:
    """Where `tracehub new` keeps its id."""
    return own_folder("XDG_STATE_HOME", ".local/state") / "correlation-id"


def in_force() -> tuple[str, str]:
    """The id in force and where it is from, both empty when there is none."""
    if os.environ.get(VARIABLE, ""):
        return os.environ[VARIABLE], VARIABLE
    try:
        saved = saved_at().read_text("utf-8").rstrip("\n")
    except (OSError, ValueError):
        return "", ""
    return (saved, str(saved_at())) if saved else ("", "")


@command(
    "new",
    short_help="Make a correlation id.",
    examples=["{}", 'eval "$({} --export)"  for all that is started here', "{} deploy-17"],
)
@click.argument("correlation_id", metavar="[ID]", required=False)
@click.option("--export", "as_export", is_flag=True, help="A line for eval: sets TRACEHUB_CORRELATION_ID.")
def new_command(hub: Hub, correlation_id: str | None, as_export: bool) -> int:
    """Make a correlation id, or take ID, save it as the one in force, and print it."""
    if correlation_id is not None and not 1 <= len(correlation_id) <= LONGEST:
        raise click.UsageError(f"an id has 1 to {LONGEST} characters")
    id = correlation_id or os.urandom(16).hex()
    if not id.isprintable():
        raise click.UsageError("an id for a shell is printable text")
    path = saved_at()
    make_private(path.parent)
    with in_place_of(path) as file:
        file.write(f"{id}\n".encode())
    if hub.screen.json:
        hub.screen.data({"correlation_id": id, "saved": str(path)})
    else:
        click.echo(f"export {VARIABLE}={shlex.quote(id)}" if as_export else id)
    return 0


@command("current", short_help="The correlation id in force here.", examples=["{}", "tracehub show $({})"])
def current_command(hub: Hub) -> int:
    """The correlation id in force here: TRACEHUB_CORRELATION_ID, else the one saved by `tracehub new`."""
    id, origin = in_force()
    if not id:
        hub.screen.remark('no correlation id is in force: make one with  eval "$(tracehub new --export)"')
        return 1
    if hub.screen.json:
        hub.screen.data({"correlation_id": id, "from": origin})
        return 0
    click.echo(clean(id))
    if origin != VARIABLE and hub.screen.err.is_terminal:
        hub.screen.remark(f"saved {age(saved_at().stat().st_mtime * 1000)} by tracehub new", "dim")
    return 0
