"""Where the output of the commands goes when it cannot go anywhere: closed, without a reader, on a full disk."""

import os
import subprocess

import pytest
from conftest import entry
from patience import PATIENCE_S
from shell import BIN, Shell, hub, shell

__all__ = ["hub", "shell"]  # fixtures


@pytest.mark.parametrize(("words", "closed"), [("list --json", ">&-"), ("new --json", ">&-"), ("list --json", "2>&-")])
def test_an_output_that_the_shell_has_closed_is_none(shell: Shell, words: str, closed: str) -> None:
    """What would have gone there goes nowhere, and the exit code is as ever."""
    line = f'"$0" {words}'
    open_, shut = (
        subprocess.run(["sh", "-c", text, BIN / "tracehub"], env=shell.environ, capture_output=True, check=False)
        for text in (line, f"{line} {closed}")
    )
    assert shut.returncode == open_.returncode
    assert (shut.stdout, shut.stderr) in ((b"", open_.stderr), (open_.stdout, b""))


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("export", "--all"), ("list", "--help")])
def test_output_that_nobody_reads_is_exit_code_141(shell: Shell, words: tuple[str, ...]) -> None:
    """As of other programs whose pipe is closed, and without a word."""
    shell.store(entry(correlation_id="unread"))
    unread, output = os.pipe()
    os.close(unread)
    ended = subprocess.run(
        [BIN / "tracehub", *words],
        env=shell.environ,
        stdout=output,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
        check=False,
    )
    os.close(output)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("words", ["list", "show chain", "export chain", "status --json", "completion bash", "--help"])
def test_an_output_without_room_is_named(shell: Shell, words: str) -> None:
    """In one line, with exit code 1."""
    shell.store(entry())
    ended = shell.run_in("exec >/dev/full", *words.split())
    assert (ended.returncode, ended.stderr) == (1, "tracehub: standard output: No space left on device\n")


def test_remarks_without_room_change_nothing(shell: Shell) -> None:
    """What a command is about goes on, and its exit code is its own."""
    for words in (("list", "--grep", "no such id"), ("show", "nobody"), ("list", "--nope")):
        told = shell.run(*words)
        ended = shell.run_in("exec 2>/dev/full", *words)
        assert (ended.returncode, ended.stdout) == (told.returncode, told.stdout), words
