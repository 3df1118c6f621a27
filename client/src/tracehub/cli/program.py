"""The three programs, and the one table from what goes wrong to an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from tracehub import __version__
from tracehub.cli.command import INTERRUPTED
from tracehub.cli.words import clean, plainly
from tracehub.errors import NoAddress, Refused, TraceHubError, Unreachable

NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # click 8.1, the last for Python 3.9, has none
NOT_SO, WRONG_USE, DOWN, NO_SERVER, NO_SECRET, NO_READER = 1, 2, 3, 69, 77, 141
OUTPUT = "standard output"
UNNAMED = {  # where an error is that names no file
    errno.ENOENT: "the current directory",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO), OUTPUT),
}

COMMANDS = {  # name: module; loaded when used, which keeps each start short
    "start": "running",
    "stop": "running",
    "status": "status",
    "doctor": "doctor",
    "show": "show",
    "list": "chains",
    "tail": "tail",
    "wait": "wait",
    "new": "ids",
    "current": "ids",
    "send": "send",
    "export": "export",
    "import": "load",
    "snapshot": "running",
    "completion": "completion",
}
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "kbc": {"tracehub": ("start", "status"), "trace": ("show",)},
    "kiberos": {"trace": ("list", "current")},
}
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
ABOUT = {
    "tracehub": "See where a request is while it is still running.",
    "kbc": "The TraceHub server and its traces.",
    "kiberos": "Traces and the correlation id in force.",
    "kbc tracehub": "The server.",
    "kbc trace": "Recent traces, or one chain.",
    "kiberos trace": "Correlation ids.",
}


class Group(click.Group):
    """A group of commands that are imported when they are asked for."""

    def __init__(self, name: str, members: list[str], about: str) -> None:
        super().__init__(name, help=about, context_settings=HELP)
        self._members = members

    def list_commands(self, _: click.Context) -> list[str]:
        return self._members

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in self._members:
            return None
        command: click.Command = getattr(import_module(f"tracehub.cli.{COMMANDS[name]}"), f"{name}_command")
        return command


def program(name: str) -> click.Group:
    """One of the three programs."""
    if name == "tracehub":
        group: click.Group = Group(name, list(COMMANDS), ABOUT[name])
    else:
        group = click.Group(name, help=ABOUT[name], context_settings=HELP)
        for inner, members in GROUPS[name].items():
            group.add_command(Group(inner, list(members), ABOUT[f"{name} {inner}"]))
    return click.version_option(__version__, message="%(prog)s %(version)s")(group)


def run(name: str) -> NoReturn:
    """Run one of the programs on `sys.argv`, and end."""
    _open_outputs()
    try:
        code = program(name).main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except NO_ARGUMENTS as error:
        click.echo(error.format_message(), err=True)
        sys.exit(WRONG_USE)
    except click.ClickException as error:
        _end(name, _wrong_use(error), error.exit_code)
    except Refused as error:
        _end(name, _refused(error), NO_SECRET if error.status in (401, 403) else NOT_SO)
    except NoAddress as error:
        _end(name, str(error), WRONG_USE)
    except Unreachable as error:
        _end(name, plainly(error), NO_SERVER)
    except TraceHubError as error:
        _end(name, str(error), NOT_SO)
    except (KeyboardInterrupt, click.exceptions.Abort):
        sys.exit(INTERRUPTED)
    except SystemExit as ended:  # with 1 when click or rich met a pipe that nobody reads: no command ends so itself
        sys.exit(NO_READER if ended.code == 1 else ended.code)
    except BrokenPipeError:
        _write_no_more()
        sys.exit(NO_READER)
    except OSError as error:
        place = error.filename or UNNAMED.get(error.errno or 0)
        if place == OUTPUT:
            _write_no_more()
        _end(name, f"{place}: {error.strerror}" if place else plainly(error), NOT_SO)
    sys.exit(code if isinstance(code, int) else 0)


class _Remarks(io.FileIO):
    """Standard error. What is not taken there, as by a full disk, is lost: no command is about its remarks."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _open_outputs() -> None:
    """Where the shell has closed an output (`>&-`), what is written to it goes nowhere."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    encoding = sys.stderr.encoding if sys.stderr else None
    remarks = io.BufferedWriter(_Remarks(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(remarks, encoding, errors="backslashreplace", line_buffering=True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _write_no_more() -> None:
    """What is left to be written goes nowhere: the flush at exit would fail again, and end with another code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wrong_use(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{text}: see {context.command_path} --help" if context else text


def _refused(error: Refused) -> str:
    if error.status == 401:
        names = "TRACEHUB_QUERY_SECRET for reading, TRACEHUB_SECRET for sending"
        return f"the server wants a secret ({error.detail}): set {names}"
    if error.status == 403:
        return f"the server refuses the secret: {error.detail}"
    return f"the server answers {error.status}: {error.detail}"


def _end(name: str, text: str, code: int) -> NoReturn:
    print(f"{name}: {clean(' '.join(text.split()))}", file=sys.stderr)
    sys.exit(code)
