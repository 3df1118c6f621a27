"""`import`, `export`, `snapshot`: files in and out, counted, and harmless to repeat."""

import codecs
import gzip
import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Services, entry
from shell import Shell, hub, shell
from test_writer import HOUR_MS, checkpoint
from tracehub.cli.files import Line
from tracehub.cli.load import Load
from tracehub.connection import Connection
from tracehub.errors import Refused
from wayward import Reply, Wayward, wayward

from shared.storage.writer import Writer

__all__ = ["hub", "shell"]  # fixtures


def lines(*entries: object) -> bytes:
    """NDJSON."""
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def counts(shell: Shell, *words: str, text: str | None = None) -> tuple[int, int]:
    """What an import stored, and what was there already."""
    ended = shell.run("import", "--json", *words, text=text)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    return told["inserted"], told["duplicates"]


def test_import_reads_every_form(shell: Shell, tmp_path: Path) -> None:
    """NDJSON, gzip, a list, an answer of the server over several lines, standard input."""
    first, second, third = (entry(correlation_id="forms") for _ in range(3))
    files = {
        "a.ndjson": lines(first) + b"\n" + lines(second),
        "b.ndjson.gz": gzip.compress(lines(first, third)),
        "c.json": json.dumps([second, third], indent=2).encode(),
        "d.json": json.dumps({"traces": [first], "next": None}, indent=2).encode(),
        "e.json": lines({"traces": [first, second]}),
        "f.json": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert counts(shell, *(str(tmp_path / name) for name in files)) == (3, 6)
    assert counts(shell, "-", text=lines(first).decode()) == (0, 1)
    for name in ("a.ndjson", "c.json"):  # as editors of other systems write them
        (tmp_path / name).write_bytes(codecs.BOM_UTF8 + b"\n" + files[name])
        assert counts(shell, str(tmp_path / name)) == (0, 2)
    shown = shell.run("import", str(tmp_path / "a.ndjson"))
    assert shown.stdout.startswith("0 of 2 entries stored, 2 were there already")


def test_import_passes_an_entry_on_as_it_is(shell: Shell, tmp_path: Path) -> None:
    """Numbers and the order of keys in its data survive."""
    text = json.dumps(entry(correlation_id="exact")).replace("}", ', "data": {"b": 1.50, "a": 12345678901234567890}}')
    (tmp_path / "a").write_text(text)
    counts(shell, str(tmp_path / "a"))
    (stored,) = shell.stored("exact")
    assert list(stored["data"].items()) == [("b", 1.5), ("a", 12345678901234567890)]


@pytest.mark.parametrize(
    "form", ["[{}]", '{{"next": ["traces", {{}}], "traces": [ {} ]}}', '{{\n"traces":\n[\n{}\n]}}']
)
def test_import_passes_on_to_the_letter_what_is_within(shell: Shell, tmp_path: Path, form: str) -> None:
    """A list, an answer of the server, on one line or several: digits and repeated keys survive as in a line."""
    data = '{"a":0.12345678901234567890,"a":1.10,"b":1e400,"c":"]},{"}'
    id = f"within-{len(form)}"
    texts = [json.dumps(entry(correlation_id=id)).replace("}", f', "data": {data}}}') for _ in range(2)]
    (tmp_path / "a.json").write_text(form.format(",\t".join(texts)))
    assert counts(shell, str(tmp_path / "a.json")) == (2, 0)
    assert shell.run("export", id).stdout.count(f'"data":{data},') == 2


def test_import_names_the_line_that_is_wrong(shell: Shell, tmp_path: Path) -> None:
    """Exit code 1; `--skip-bad` leaves it out and stores the rest."""
    good = [entry(correlation_id="wrong") for _ in range(4)]
    file = tmp_path / "a.ndjson"
    file.write_bytes(lines(*good[:2], {**good[2], "suffix": 5}, good[3]))
    ended = shell.run("import", str(file))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "a.ndjson:3: 400 Expected `str`, got `int`" in ended.stderr
    file.write_bytes(file.read_bytes() + b"garbage\n7\n")
    told = json.loads(shell.run("import", "--json", "--skip-bad", str(file)).stdout)
    assert (told["inserted"], told["skipped"]) == (3, 3)
    file.write_bytes(gzip.compress(lines(*good))[:-9])
    assert "a.ndjson" in shell.run("import", str(file)).stderr
    assert shell.run("import", "/proc/self/mem").stderr == "tracehub: /proc/self/mem: Input/output error\n"


def test_import_skips_a_first_line_that_is_cut_off(shell: Shell, tmp_path: Path) -> None:
    """It looks like the beginning of one value over several lines."""
    file = tmp_path / "a.ndjson"
    for content, inserted in ((b"", 0), (lines(entry(), entry()), 2)):
        file.write_bytes(lines(entry())[:40] + b"\n" + content)
        ended = shell.run("import", str(file))
        assert (ended.returncode, "a.ndjson:1: no JSON" in ended.stderr) == (1, True)
        told = json.loads(shell.run("import", "--json", "--skip-bad", str(file)).stdout)
        assert (told["inserted"], told["skipped"]) == (inserted, 1)


def test_import_takes_more_files_than_a_process_may_have_open(shell: Shell, tmp_path: Path) -> None:
    """And says in a line that there is no standard input."""
    files = [tmp_path / f"{number}.ndjson" for number in range(40)]
    for file in files:
        file.write_bytes(lines(entry()))
    ended = shell.run_in("ulimit -n 32", "import", "--json", *map(str, files))
    assert json.loads(ended.stdout)["inserted"] == 40
    ended = shell.run_in("exec <&-", "import", "-")
    assert (ended.returncode, ended.stderr) == (1, "tracehub: standard input: the shell has closed it\n")


def test_import_skips_as_many_bad_entries_as_there_are(shell: Shell, tmp_path: Path) -> None:
    """A whole batch of them, and what is good among them is stored."""
    bad = [{"source_id": "MA", "number": number} for number in range(600)]
    (tmp_path / "a.ndjson").write_bytes(lines(*bad[:300], entry(correlation_id="among"), *bad[300:]))
    told = json.loads(shell.run("import", "--json", "--skip-bad", str(tmp_path / "a.ndjson")).stdout)
    assert (told["inserted"], told["skipped"]) == (1, 600)


def test_import_waits_no_longer_than_it_has_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the server asks for; it is asked once more before the end."""
    monkeypatch.setattr("tracehub.cli.load.PATIENCE_S", 0.2)
    with wayward() as server:
        server.judge = lambda _request: Reply(503, {"detail": "not today"}, {"Retry-After": "20"})
        with closing(Connection(server.url, 10)) as connection, pytest.raises(Refused, match="not today"):
            Load(connection, skip_bad=False).store([Line(b"{}", "a:1")])
        assert server.requests[1].at - server.requests[0].at < 15


def test_import_waits_for_a_server_that_is_busy(tmp_path: Path) -> None:
    """503 with `Retry-After` is tried again, 413 is halved, no answer in the middle is tried again."""
    (tmp_path / "a.ndjson").write_bytes(lines(*(entry() for _ in range(4))))
    server: Wayward
    with wayward() as server:
        seen = []

        def judge(request: object) -> Reply:
            count = len(json.loads(request.body)["traces"])  # type: ignore[attr-defined]
            seen.append(count)
            if len(seen) == 1:
                return Reply(503, {"detail": "queue full"}, {"Retry-After": "0.1"})
            if count > 2:
                return Reply(413, {"detail": "too large"})
            return Reply(200, {"accepted": count, "inserted": count, "duplicates": 0})

        server.judge = judge
        ended = Shell(tmp_path, server.url).run("import", str(tmp_path / "a.ndjson"), "--json")
    assert seen == [4, 4, 2, 2]
    assert json.loads(ended.stdout)["accepted"] == 4
    assert ended.returncode == 0


def test_what_is_exported_is_imported_elsewhere(shell: Shell, services: Services, tmp_path: Path) -> None:
    """One chain and everything, plain and gzip, mode 0600; importing again adds nothing."""
    shell.store(*(entry(correlation_id="moved", data={"n": n, "text": "é\u2028\x1b"}) for n in range(3)))
    everything = tmp_path / "all.ndjson.gz"
    assert shell.run("export", "--all", "-o", str(everything)).returncode == 0
    assert stat.S_IMODE(everything.stat().st_mode) == 0o600
    chain = shell.run("export", "moved").stdout
    assert len(chain.splitlines()) == 3
    assert "\x1b" not in chain and "\u2028" not in chain
    services.start("ingest_svc")
    services.start("query_svc")
    other = Shell(tmp_path, services.ingest_url)
    stored, _ = counts(other, str(everything))
    assert stored == len(gzip.decompress(everything.read_bytes()).splitlines()) >= 3
    assert counts(other, "-", text=chain) == (0, 3)
    assert other.stored("moved") == shell.stored("moved")


@pytest.mark.parametrize("number", ["1e400", "-1e999", "7" * 5000])
def test_numbers_that_python_cannot_hold_stop_nothing(
    shell: Shell, services: Services, tmp_path: Path, number: str
) -> None:
    """They are passed on as they are by an export and an import, and read as text."""
    services.start("ingest_svc")
    services.start("query_svc")
    own = Shell(tmp_path, services.ingest_url)
    text = json.dumps(entry(correlation_id="beyond", data={"n": 0})).replace('"n": 0', f'"n": {number}')
    assert counts(own, "-", text=text) == (1, 0)
    (stored,) = own.stored("beyond")
    assert stored["data"] == {"n": number}
    assert number[:20] in own.run("show", "-v", "beyond").stdout
    assert counts(shell, "-", text=own.run("export", "--all").stdout) == (1, 0)


def test_data_is_exported_as_it_was_sent(services: Services, tmp_path: Path) -> None:
    """Digits, forms of numbers, repeated keys, blanks: in a file to the letter, elsewhere but for what is no ASCII."""
    services.start("ingest_svc")
    services.start("query_svc")
    shell = Shell(tmp_path, services.ingest_url)
    sevens = "7" * 5000
    data = f'{{"a":0.12345678901234567890,\t"a":1.10, "b":1E+05,"c":-0,"d":1e400,"e":[{sevens}],"t":"é\x7f\\u0041"}}'
    text = json.dumps(entry(correlation_id="exact", data=0)).replace('"data": 0', f'"data":{data}')
    assert counts(shell, "-", text=text) == (1, 0)
    escaped = data.replace("é", "\\u00e9").replace("\x7f", "\\u007f")
    for what in "exact", "--all":
        assert f'"data":{escaped},"hostname"' in shell.run("export", what).stdout
        shell.run("export", what, "-o", str(tmp_path / "out"))
        (line,) = (tmp_path / "out").read_text().splitlines()
        assert f'"data":{data},"hostname"' in line and "id" not in json.loads(line.replace(sevens, "7"))


def test_an_export_is_private_also_where_a_file_was(shell: Shell, tmp_path: Path) -> None:
    """A file that others may read does not let them read what is written over it; what is no file is left alone."""
    shell.store(entry(correlation_id="private"))
    open_file = tmp_path / "open.ndjson"
    open_file.touch(0o644)
    assert shell.run("export", "private", "-o", str(open_file)).returncode == 0
    assert stat.S_IMODE(open_file.stat().st_mode) == 0o600
    mode = Path(os.devnull).stat().st_mode
    assert shell.run("export", "private", "-o", os.devnull).returncode == 0
    assert json.loads(shell.run("export", "private", "-o", "/dev/stdout").stdout)["correlation_id"] == "private"
    assert Path(os.devnull).stat().st_mode == mode


def test_an_export_that_fails_leaves_the_earlier_file(tmp_path: Path) -> None:
    """Also through a link to it, and nothing beside it: the new one takes its name when it is whole."""
    file, link = tmp_path / "all.ndjson", tmp_path / "link.ndjson"
    file.write_text("from before")
    link.symlink_to(file)
    page = Reply(200, b'{"traces":[{"correlation_id":"new","id":1}],"count":1}')
    with wayward() as server:
        shell = Shell(tmp_path, server.url)
        stats, away = {"entries": 2, "oldest_id": 1, "newest_id": 2}, {"detail": "away"}
        server.replies = [Reply(200, stats), page, Reply(503, away)]
        ended = shell.run("export", "--all", "-o", str(link))
        assert (ended.returncode, ended.stderr) == (1, "tracehub: the server answers 503: away\n")
        assert file.read_text() == "from before"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["all.ndjson", "link.ndjson"]
        server.replies = [Reply(200, {**stats, "newest_id": 1}), page]
        assert shell.run("export", "--all", "-o", str(link)).returncode == 0
    assert link.is_symlink() and json.loads(file.read_text()) == {"correlation_id": "new"}


def test_a_disk_without_room_for_an_export_is_named(shell: Shell) -> None:
    """Where it was to be written, in one line."""
    shell.store(entry(correlation_id="no-room"))
    ended = shell.run("export", "no-room", "-o", "/dev/full")
    assert (ended.returncode, ended.stderr) == (1, "tracehub: /dev/full: No space left on device\n")
    ended = shell.run("export", "no-room", "-o", "/nowhere/a.ndjson")
    assert (ended.returncode, ended.stderr) == (1, "tracehub: /nowhere/a.ndjson: No such file or directory\n")


def test_a_dash_is_standard_output(shell: Shell, tmp_path: Path) -> None:
    """As it is standard input for an import; no file of that name is made."""
    shell.store(entry(correlation_id="dash", suffix="dash"))
    ended = shell.run_in(f"cd {tmp_path}", "export", "dash", "-o", "-")
    assert json.loads(ended.stdout)["suffix"] == "dash"
    assert not (tmp_path / "-").exists()


def test_export_wants_to_know_what(shell: Shell) -> None:
    """An id or all; an unknown id is exit code 1."""
    assert shell.run("export").returncode == 2
    assert shell.run("export", "nobody").returncode == 1


def test_a_snapshot_is_a_database_of_its_own(shell: Shell, hub: Services, tmp_path: Path) -> None:
    """Taken from the live file, whose place the server tells; for this user alone, and never over another file."""
    shell.store(entry(correlation_id="kept"))
    copy = tmp_path / "copy.db"
    told = json.loads(shell.run("snapshot", str(copy), "--json").stdout)
    assert told["bytes"] == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(f"file:{copy}?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM traces").fetchone()[0] == told["entries"] > 0
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    again = shell.run("snapshot", str(copy))
    assert again.returncode == 1 and "exists: choose another name" in again.stderr
    missing = shell.run("snapshot", str(tmp_path / "x.db"), "--db", str(tmp_path / "none.db"))
    assert missing.returncode == 1 and "there is no file" in missing.stderr
    assert not (tmp_path / "x.db").exists()


def test_a_snapshot_of_one_entry(shell: Shell, tmp_path: Path) -> None:
    """It is called one."""
    live = tmp_path / "live.db"
    with closing(Writer(live, HOUR_MS)) as writer:
        writer.write([[checkpoint()]], now_ms=0)
    told = shell.run("snapshot", str(tmp_path / "copy.db"), "--db", str(live))
    assert f"{tmp_path}/copy.db: 1 entry, " in told.stdout


def test_a_service_starts_from_a_snapshot(shell: Shell, services: Services) -> None:
    """What was in the live file is served."""
    shell.store(entry(correlation_id="restored"))
    assert shell.run("snapshot", str(services.db)).returncode == 0
    services.start("ingest_svc")
    services.start("query_svc")
    assert Shell(services.db.parent, services.query_url).stored("restored") == shell.stored("restored")


@pytest.mark.skipif(not os.path.exists("/proc/self/fdinfo"), reason="told by Linux alone")  # noqa: PTH110
def test_the_doctor_finds_another_writer(shell: Shell, hub: Services) -> None:
    """A program that holds the file open for writing is a problem, with its pid; without it all is well."""
    assert json.loads(shell.run("doctor", "--json").stdout)["healthy"] is True
    with hub.db.open("r+b"):
        ended = shell.run("doctor")
    assert ended.returncode == 1
    assert f"pid {os.getpid()}" in ended.stdout
