"""Completion, as the shells themselves ask for it."""

import os
import pty
import select
import shutil
import subprocess
import time

import pytest
from conftest import entry
from patience import PATIENCE_S
from shell import BIN, Shell, hub, shell

__all__ = ["hub", "shell"]


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, program: list[str], environ: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            program, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def type(self, text: str, until: str) -> None:
        """Type, and wait until the screen shows something."""
        os.write(self._ours, text.encode())
        shown, deadline = b"", time.monotonic() + PATIENCE_S
        while until.encode() not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([self._ours], [], [], 0.2)[0]:
                shown += os.read(self._ours, 65536)

    def close(self) -> None:
        """End the shell."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def test_bash_completes_commands_and_plain_ids(shell: Shell) -> None:
    """An id that bash would run is never put into its line."""
    shell.store(entry(correlation_id="whole-1"), entry(correlation_id="whole$(touch here)"))
    script = (
        f'PATH={BIN}:$PATH; eval "$(tracehub completion bash)"\n'
        + """
        ask() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); COMPREPLY=(); "_$1_completion" "$1"; echo "${COMPREPLY[@]}"; }
        ask tracehub sn; ask tracehub show whole; ask kbc trace sh; ask kiberos trace li
        complete -p tracehub kbc kiberos
    """
    )
    ended = subprocess.run(
        ["bash", "-c", script], env=shell.environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    told = ended.stdout.splitlines()
    assert told[:4] == ["snapshot", "whole-1", "show", "list"], ended.stderr
    assert len(told) == 7
    assert ended.stderr == ""


def test_fish_completes_commands_and_plain_ids(shell: Shell) -> None:
    """Under all three names."""
    if shutil.which("fish") is None:
        pytest.skip("no fish")
    shell.store(entry(correlation_id="whole-1"), entry(correlation_id="whole$(touch here)"))
    shell.store(entry(correlation_id="parted,2"))
    lines = ("tracehub sn", "tracehub show whole", "kbc trace sh", "kiberos trace li", "tracehub show part")
    asked = "; ".join(f"complete -C '{line}'" for line in lines)
    script = f"set -x PATH {BIN} $PATH; tracehub completion fish | source; {asked}"
    ended = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=shell.environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    told = [line.split()[0] for line in ended.stdout.splitlines()]
    assert told == ["snapshot", "whole-1", "show", "list", "parted,2"], ended


def test_zsh_completes_commands_and_plain_ids(shell: Shell) -> None:
    """With a Tab, on a terminal; the line that it makes runs."""
    if shutil.which("zsh") is None:
        pytest.skip("no zsh")
    shell.store(entry(correlation_id="whole-1"), entry(correlation_id="whole$(touch here)"))
    terminal = Terminal(
        ["zsh", "-f", "-i"], {**shell.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "% "}
    )
    try:
        terminal.type("autoload -Uz compinit; compinit -u -D; ", "-D")
        terminal.type('eval "$(tracehub completion zsh)"; echo rea""dy\n', "ready")
        terminal.type("tracehub sho\t", "show ")
        terminal.type("who\t", "whole-1")
        terminal.type("\n", "whole-1  open")
    finally:
        terminal.close()
