"""What the commands show on a narrow terminal: nothing wider than it, and what names a chain last of all to go."""

import pytest
from conftest import entry
from rich.cells import cell_len
from shell import Shell, hub, shell
from tracehub.cli.program import COMMANDS

__all__ = ["hub", "shell"]  # fixtures


@pytest.mark.parametrize("columns", [40, 50, 80, 120])
def test_no_row_of_a_chain_is_wider_than_the_terminal(shell: Shell, columns: int) -> None:
    """Whether steps are nested, open or report an error, among few sources or many, with and without their data."""
    told = {"correlation_id": f"narrow-{columns}", "operation": "REST"}
    fails = {**told, "endpoint": "/error", "source_id": "S1"}
    for sources in (3, 12):
        shell.store(
            *(
                entry(**told, source_id=f"S{at}", timestamp=1000.0 + at, endpoint=f"/of/{sources}/{at}/漢字漢字")
                for at in range(sources)
            ),
            entry(**fails, timestamp=2000.0, data={"error": "漢" * 99}),
            entry(**fails, timestamp=3000.0, direction="<-", data={"error": "x" * 99}),
        )
        for shown in shell.run_each(
            ("show", told["correlation_id"]), ("show", "-v", told["correlation_id"]), COLUMNS=str(columns)
        ):
            assert "S1" in shown.stdout
            assert not [line for line in shown.stdout.splitlines() if cell_len(line) > columns]


@pytest.mark.parametrize("columns", [40, 50, 60, 70, 80, 100])
def test_a_list_keeps_the_ids_and_the_states(shell: Shell, columns: int) -> None:
    """A chain that cannot be named cannot be asked for; what has no room is left out, and not cut off."""
    id = f"listed-by-{columns}".ljust(32 if columns >= 60 else 16, "-")
    shell.store(entry(correlation_id=id, data={"error": "x"}))
    ended = f"ended-by-{columns}"
    shell.store(*(entry(correlation_id=ended, direction=way, data={"error": "x"}) for way in ("->", "<-")))
    for_id, for_ended = (
        each.stdout.splitlines()
        for each in shell.run_each(*(("list", "--grep", name) for name in (id, ended)), COLUMNS=str(columns))
    )
    shown = [*for_id, *for_ended]
    assert not [line for line in shown if cell_len(line) > columns]
    assert for_id[1].startswith(f"{id} ") and "open, 1 err" in for_id[1]
    assert for_ended[-1].startswith(f"{ended} ") and "complete, 2 err" in for_ended[-1]
    assert "…" not in "".join(shown)


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_that_says_nothing_or_nonsense_of_its_width(shell: Shell, columns: str) -> None:
    """As under some schedulers: a list is there all the same."""
    shell.store(entry(correlation_id="unmeasured"))
    assert "unmeasured" in shell.run("list", "--grep", "unmeasured", COLUMNS=columns).stdout
    assert "unmeasured" in shell.on_terminal("list", "--grep", "unmeasured", COLUMNS=columns)


def test_no_help_is_wider_than_the_terminal(shell: Shell) -> None:
    """Of any command, examples included."""
    for ended in shell.run_each(*((name, "--help") for name in COMMANDS), COLUMNS="80"):
        shown = ended.stdout
        assert "Examples:" in shown
        assert not [line for line in shown.splitlines() if cell_len(line) > 80]


@pytest.mark.parametrize("columns", [40, 80])
def test_the_status_keeps_the_addresses(shell: Shell, columns: int) -> None:
    """Other columns go where there is no room: an address is there to be copied, too."""
    shown = shell.run("status", COLUMNS=str(columns)).stdout
    assert f"{shell.url} " in shown.replace("\n", " ")
    assert ("version" in shown) == (columns == 80)
