"""What all commands share: `--url`, `--json`, `--no-color`, examples in the help, and names that start with a dash."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, Callable

import click

from tracehub.cli.hub import Hub
from tracehub.cli.reading import Reader
from tracehub.cli.screen import Screen
from tracehub.cli.words import plainly
from tracehub.errors import NoAddress, Refused, TraceHubError, Unreachable
from tracehub.following import NO_REASON

INTERRUPTED = 130
PLAIN = re.compile(r"[\w.,:@%+=/][\w.,:@%+=/-]*")  # what a shell takes as it is: `$(reboot)` may be an id too


class Command(click.Command):
    """A command with examples, in which `->` and `<-` are words and no options. `{}` in an example is its own name.

    Two blanks in an example stand before what it does.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, ["entry" if arg == "->" else arg for arg in args])
        except click.UsageError as error:
            error.ctx = ctx  # an option without its argument has none
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        parts = (example.format(ctx.command_path).partition("  ") for example in self._examples)
        rows = [(words, remark) for words, _, remark in parts]
        with formatter.section("Examples"):
            formatter.write_dl(rows, max((len(words) for words, remark in rows if remark), default=0))


def command(*args: Any, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A command whose function is given the `Hub` first."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        settings.setdefault("help", (function.__doc__ or "").strip())
        made = click.command(*args, cls=Command, **settings)(_with_hub(function))
        made.params += [click.Option([name], **details) for name, details in _EVERYWHERE]
        return made

    return decorate


def _with_hub(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(url: str, json: bool, no_color: bool, **given: Any) -> Any:
        if given.get("correlation_id") == "":
            raise click.UsageError("the id is empty", click.get_current_context())
        hub = Hub(url, Screen(json, no_color))
        try:
            return function(hub, **given)
        except KeyboardInterrupt:
            if hub.screen.err.is_terminal:
                hub.screen.err.print()  # the shell goes on on a line of its own
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Refused as error:
            if error.detail != NO_REASON or error.status in (401, 403):
                raise
            raise Unreachable(f"{hub.address} answers {error.status}, {NO_REASON}") from error
        except NoAddress:
            raise
        except Unreachable as error:
            raise Unreachable(f"no answer from {hub.address}: {plainly(error)}") from error

    return run


def complete_id(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Ids of recent chains, for the shell; none when the server does not answer at once."""
    try:
        hub = Hub(ctx.params.get("url") or "", Screen())
        page = Reader(hub.reading, timeout=1.0).ask("/correlations", {"limit": 50, "q": incomplete})
        ids = [str(chain["correlation_id"]) for chain in page["correlations"]]
    except (TraceHubError, click.ClickException, KeyError, TypeError):
        return []
    return [id for id in ids if id.startswith(incomplete) and PLAIN.fullmatch(id)]


_EVERYWHERE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--url", {"envvar": "TRACEHUB_URL", "default": "", "metavar": "URL", "help": "Either port (TRACEHUB_URL)."}),
    ("--json", {"is_flag": True, "help": "JSON, for programs."}),
    ("--no-color", {"is_flag": True, "help": "No colour; NO_COLOR does the same."}),
)
