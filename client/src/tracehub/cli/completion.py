"""`tracehub completion SHELL`: what makes the shell complete commands, options and ids of recent chains."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tracehub.cli.command import command
from tracehub.cli.hub import Hub

PROGRAMS = ("tracehub", "kbc", "kiberos")


@command(
    "completion",
    short_help="Completion for your shell.",
    examples=[
        'eval "$({} bash)"  in ~/.bashrc',
        'eval "$({} zsh)"  in ~/.zshrc',
        "{} fish > ~/.config/fish/completions/tracehub.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(hub: Hub, shell: str) -> int:
    """Print the completion of a shell, for all three names. Ids are those of recent chains."""
    from tracehub.cli.program import program

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    scripts = [kind(program(name), {}, name, f"_{name.upper()}_COMPLETE").source() for name in PROGRAMS]
    scripts = [script.replace('split ","', 'split -m 1 ","') for script in scripts]  # or fish cuts an id at its comma
    if hub.screen.json:
        hub.screen.data({"shell": shell, "script": "\n".join(scripts)})
    else:
        click.echo("\n".join(scripts))
    return 0
