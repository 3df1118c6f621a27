"""`tail` and `wait`: nothing missed, nothing twice, and an answer that scripts can use."""

import io
import json
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Services, entry
from patience import PATIENCE_S, wait_until
from rich.console import Console
from shell import Shell, hub, shell
from test_writer import checkpoint
from tracehub.cli.screen import Screen
from tracehub.cli.tail import Lines
from tracehub.connection import Connection
from wayward import Reply, Request, wayward

from shared.storage.writer import Writer

__all__ = ["hub", "shell"]  # fixtures
HOUR_MS = 3_600_000
LONGER = ("2s", "10s", "50s")  # to wait for what is stored, where a machine takes longer to read it


@pytest.fixture
def own(services: Services, tmp_path: Path) -> Shell:
    """A shell beside services that the test may stop."""
    services.start("ingest_svc")
    services.start("query_svc")
    return Shell(tmp_path, services.ingest_url)


def test_tail_misses_and_repeats_nothing_across_a_restart(own: Shell, services: Services) -> None:
    """The query process goes away and comes back while entries are stored: each is told once, in order."""
    with own.follow("tail", "--json") as tail:
        assert tail.stdout is not None and tail.stderr is not None
        assert "following" in tail.stderr.readline()
        own.store(*(entry(suffix=f"a{n}") for n in range(3)))
        told = [json.loads(tail.stdout.readline())["suffix"] for _ in range(3)]
        services.kill("query_svc", signal.SIGTERM)
        own.store(*(entry(suffix=f"b{n}") for n in range(3)))
        assert "connection lost" in tail.stderr.readline()
        services.start("query_svc")
        own.store(*(entry(suffix=f"c{n}") for n in range(3)))
        told += [json.loads(tail.stdout.readline())["suffix"] for _ in range(6)]
        assert told == [f"{letter}{n}" for letter in "abc" for n in range(3)]
        tail.send_signal(signal.SIGINT)
        rest, remarks = tail.communicate(timeout=PATIENCE_S)
        assert (tail.returncode, rest) == (130, "")
        assert remarks == "connected again, behind the last entry\n"


def test_tail_loses_nothing_when_the_connection_breaks_before_the_first_entry(own: Shell, services: Services) -> None:
    """It follows from the newest entry that there was when it began."""
    own.store(entry(suffix="old"))
    with own.follow("tail", "--json") as tail:
        assert tail.stdout is not None and tail.stderr is not None
        assert "following" in tail.stderr.readline()
        services.kill("query_svc", signal.SIGTERM)
        own.store(entry(suffix="new"))
        services.start("query_svc")
        assert json.loads(tail.stdout.readline())["suffix"] == "new"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(PATIENCE_S) == 130


def test_tail_says_that_the_database_was_replaced(own: Shell, services: Services) -> None:
    """Ids of another file: a word on standard error, then everything from the start."""
    own.store(*(entry(suffix=f"{n}") for n in range(3)))
    with own.follow("tail", "--json") as tail:
        assert tail.stdout is not None and tail.stderr is not None
        assert "following" in tail.stderr.readline()
        services.kill("ingest_svc", signal.SIGTERM)
        services.kill("query_svc", signal.SIGTERM)
        for file in services.db.parent.glob("tracehub.db*"):
            file.unlink()
        services.start("ingest_svc")
        own.store(entry(suffix="first"))
        services.start("query_svc")
        assert json.loads(tail.stdout.readline())["suffix"] == "first"
        tail.send_signal(signal.SIGINT)
        assert "reset: the database was replaced" in tail.communicate(timeout=PATIENCE_S)[1]


def test_tail_says_what_retention_removed(services: Services, tmp_path: Path) -> None:
    """A word on standard error where it was asked for more than there is, then what there is."""
    with closing(Writer(services.db, HOUR_MS, synced=False)) as writer:
        writer.write([[checkpoint(number) for number in range(5)]], int(time.time() * 1000) - 2 * HOUR_MS)
        assert writer.expire(6, 5) == 5
    services.start("ingest_svc")
    services.start("query_svc")
    shell = Shell(tmp_path, services.ingest_url)
    shell.store(entry(suffix="young"))
    with shell.follow("tail", "--json", "--after", "2") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["suffix"] == "young"
        tail.send_signal(signal.SIGINT)
        told = tail.communicate(timeout=PATIENCE_S)[1].splitlines()
    assert [line for line in told if "gap" in line] == ["gap: retention removed what was missed, ids 3 to 5: 3 entries"]


def test_tail_of_a_chain_begins_with_what_is_stored_and_filters(shell: Shell) -> None:
    """One line for each entry; an exit says how long its step took."""
    chain = {"correlation_id": "tailed", "source_id": "WK", "endpoint": "/api/run"}
    shell.store(
        entry(**chain, timestamp=1000.0),
        entry(correlation_id="tailed", source_id="MA"),
        entry(**chain, timestamp=1250.0, direction="<-"),
    )
    with shell.follow("tail", "tailed", "--source", "WK", "--endpoint", "/api/*") as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline() == "00:00:01.000 WK -> REST /api/run\n"
        assert tail.stdout.readline() == "00:00:01.250 WK <- REST /api/run  250ms\n"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(PATIENCE_S) == 130


def test_tail_takes_a_source_and_an_operation_to_the_letter(shell: Shell) -> None:
    """Of one chain as of all; only an endpoint is a pattern."""
    shell.store(*(entry(correlation_id="letters", source_id=source, suffix=source) for source in ("WK", "W*")))
    shell.store(*(entry(correlation_id="letters", operation=name, suffix=name) for name in ("RPC", "R?C")))
    for option, chosen in (("--source", "W*"), ("--operation", "R?C")):
        with shell.follow("tail", "letters", "--json", option, chosen) as tail:
            assert tail.stdout is not None
            assert json.loads(tail.stdout.readline())["suffix"] == chosen


def test_tail_begins_with_the_last_entries(shell: Shell) -> None:
    """`-n 1`, then what comes."""
    shell.store(entry(suffix="stored"))
    with shell.follow("tail", "--json", "-n", "1") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["suffix"] == "stored"
        shell.store(entry(suffix="comes"))
        assert json.loads(tail.stdout.readline())["suffix"] == "comes"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(PATIENCE_S) == 130


def test_tail_begins_with_the_last_of_those_chosen(shell: Shell) -> None:
    """However many others came since."""
    shell.store(entry(source_id="RARE", suffix="rare"), *(entry(source_id="MA", endpoint=f"/{n}") for n in range(9)))
    with shell.follow("tail", "--json", "-n", "1", "--source", "RARE") as tail:
        assert tail.stdout is not None and tail.stderr is not None
        assert tail.stderr.readline().startswith("following")
        tail.send_signal(signal.SIGINT)
        assert [json.loads(line)["suffix"] for line in tail.stdout] == ["rare"]


def test_tail_times_steps_side_by_side(shell: Shell) -> None:
    """Each exit of calls that are alike closes the latest that is open, and says how long it took."""
    call = {"correlation_id": "beside", "source_id": "ST", "endpoint": "/stock"}
    shell.store(*(entry(**call, timestamp=at) for at in (1000.0, 1010.0)))
    shell.store(*(entry(**call, timestamp=at, direction="<-") for at in (1030.0, 1050.0)))
    with shell.follow("tail", "beside") as tail:
        assert tail.stdout is not None
        lines = [tail.stdout.readline().split() for _ in range(4)]
    assert [line[-1] for line in lines[2:]] == ["20ms", "50ms"]


def test_ids_with_a_common_start_can_be_told_apart_on_a_terminal() -> None:
    """One of twenty letters is whole at 80 columns."""
    screen = Screen()
    screen.out = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    Lines(screen, verbose=False, one_chain=False).add("1", entry(correlation_id="order-20261129-00017"), "")
    assert " order-20261129-00017 " in screen.out.file.getvalue()


def test_wait_ends_when_a_chain_that_did_not_exist_is_complete(shell: Shell) -> None:
    """Exit code 0, and one line."""
    chain = {"correlation_id": "awaited"}
    later = threading.Timer(0.7, shell.store, [entry(**chain), entry(**chain, direction="<-")])
    later.start()
    ended = shell.run("wait", "awaited", "--timeout", "10m")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("complete after ")


def test_wait_says_what_is_missing(shell: Shell) -> None:
    """Exit code 1 when the time is over, whatever was waited for."""
    nothing = shell.run("wait", "never", "--timeout", "300ms")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no entry yet" in nothing.stderr
    shell.store(entry(correlation_id="hangs", source_id="WK", endpoint="/run"))
    for within in LONGER:
        hangs = shell.run("wait", "hangs", "--timeout", within)
        assert hangs.returncode == 1
        if "no entry yet" not in hangs.stderr:
            break
    assert "1 of 1 entry without a counterpart" in hangs.stderr
    assert "open  WK -> REST /run" in hangs.stderr
    for within in LONGER:
        told = json.loads(shell.run("wait", "hangs", "--until", "WK <- /run", "--timeout", within, "--json").stdout)
        assert told["reached"] is False
        if told["entries"]:
            break
    assert [step["endpoint"] for step in told["open"]] == ["/run"]


def test_wait_takes_an_entry_or_silence(shell: Shell) -> None:
    """Sources, operations and endpoints with `*` and `?`; quiet begins with the first entry. No timeout is too long."""
    shell.store(entry(correlation_id="there", source_id="WK", endpoint="/run"))
    untils, timeout = ("WK -> /run", "W? -> REST /r*", "WK ->", "quiet=300ms"), f"{'9' * 400}m"
    ended = shell.run_each(*(("wait", "there", "--until", until, "--timeout", timeout) for until in untils))
    assert [one.returncode for one in ended] == [0, 0, 0, 0]


def test_wait_does_not_take_a_stored_chain_for_complete_before_its_end(shell: Shell) -> None:
    """A chain that was complete once, and is not any more, is not complete while it is read again."""
    chain = {"correlation_id": "reopened"}
    shell.store(entry(**chain), entry(**chain, direction="<-"), entry(**chain, endpoint="/later"))
    assert shell.run("wait", "reopened", "--timeout", "300ms").returncode == 1


@pytest.mark.parametrize(("known", "asked"), [(401, 0), (0, 4)])
def test_wait_asks_little_and_ends_in_time_however_much_is_stored(tmp_path: Path, known: int, asked: int) -> None:
    """A chain of many steps one after the other looks complete after each, until its end has been read."""
    steps = [entry(direction=direction) for _ in range(200) for direction in ("->", "<-")] + [entry()]
    events = "".join(f"id: {id}\ndata: {json.dumps(step)}\n\n" for id, step in enumerate(steps, 1)).encode()
    incomplete = Reply(200, {"count": known, "complete": False}, hang_s=0.3)
    with wayward() as server:
        server.judge = lambda request: Reply(200, events) if "/stream" in request.path else incomplete
        for within in LONGER:
            assert Shell(tmp_path, server.url).run("wait", "chain", "--timeout", within).returncode == 1
            if questions := sum("/stream" not in request.path for request in server.requests):
                break
        assert 1 <= questions <= 1 + asked * int(within.removesuffix("s"))


def test_wait_asks_again_what_the_server_could_not_answer(tmp_path: Path) -> None:
    """It is busy for a moment, and complete then, without another entry."""
    pair = (entry(correlation_id="chain"), entry(correlation_id="chain", direction="<-"))
    events = "".join(f"id: {id}\ndata: {json.dumps(step)}\n\n" for id, step in enumerate(pair, 1)).encode()
    answers = [Reply(503, {"detail": "busy"}), Reply(429, {"detail": "slowly"})]

    def judge(request: Request) -> Reply:
        if "/stream" in request.path:
            return Reply(200, events)
        return answers.pop(0) if answers else Reply(200, {"count": 2, "complete": True})

    with wayward() as server:
        server.judge = judge
        ended = Shell(tmp_path, server.url).run("wait", "chain", "--timeout", "10m")
    assert (ended.returncode, ended.stderr, answers) == (0, "", [])


def test_wait_ends_with_what_will_not_pass(tmp_path: Path) -> None:
    """The secret was taken back between the stream and the question."""
    events = "".join(f"id: {id}\ndata: {json.dumps(entry(direction=way))}\n\n" for id, way in ((1, "->"), (2, "<-")))
    with wayward() as server:
        server.judge = lambda request: (
            Reply(200, events.encode()) if "/stream" in request.path else Reply(403, {"detail": "The secret is wrong"})
        )
        ended = Shell(tmp_path, server.url).run("wait", "chain", "--timeout", "10m")
    assert ended.returncode not in (0, 1)
    assert "The secret is wrong" in ended.stderr


def test_wait_begins_anew_with_a_database_that_was_replaced(own: Shell, services: Services) -> None:
    """What was open in the old one does not stand in the way of a chain that is complete in the new one."""
    chain = {"correlation_id": "replaced"}
    own.store(entry(correlation_id="other"), entry(**chain), entry(**chain, source_id="WK"))
    with own.follow("wait", "replaced", "--timeout", "10m", "--json") as wait:
        _until_streamed(services)
        services.kill("ingest_svc", signal.SIGTERM)
        services.kill("query_svc", signal.SIGTERM)
        for file in services.db.parent.glob("tracehub.db*"):
            file.unlink()
        services.start("ingest_svc")
        own.store(entry(**chain), entry(**chain, direction="<-"))
        services.start("query_svc")
        told = json.loads(wait.communicate(timeout=PATIENCE_S)[0])
    assert (wait.returncode, told["reached"], told["entries"]) == (0, True, 2)


def test_wait_does_not_take_a_lost_connection_for_silence(own: Shell, services: Services) -> None:
    """What was stored while the query service was away comes first."""
    own.store(entry(correlation_id="loud"))
    with own.follow("wait", "loud", "--until", "quiet=6s", "--json") as wait:
        _until_streamed(services)
        services.kill("query_svc")
        own.store(entry(correlation_id="loud"))
        time.sleep(7)
        services.start("query_svc")
        told = json.loads(wait.communicate(timeout=PATIENCE_S)[0])
    assert (wait.returncode, told["entries"]) == (0, 2)


def _until_streamed(services: Services) -> None:
    """Wait until somebody follows."""
    with closing(Connection(services.query_url, PATIENCE_S)) as connection:
        wait_until(lambda: json.loads(connection.ask("GET", "/stats").body)["subscribers"])


def test_wait_refuses_what_it_cannot_wait_for(shell: Shell) -> None:
    """Wrong use is exit code 2."""
    wrong = (("--until", "done"), ("--until", "quiet=soon"), ("--timeout", "long"), ("--timeout", "0"))
    for words, ended in zip(wrong, shell.run_each(*(("wait", "x", *words) for words in wrong)), strict=True):
        assert ended.returncode == 2
        assert words[0] in ended.stderr
