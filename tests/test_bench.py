"""The benchmark measures what it says: its entries, its load, its verdicts, and what a failing section leaves."""

import importlib
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent / "bench"
MACHINE = dict.fromkeys(
    ["date", "commit", "cpu", "cores", "memory_gib", "system", "file_system", "python", "sqlite", "aiohttp", "msgspec"],
    "some",
)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules of bench/, by name; its scripts find each other as they do when one is started."""
    monkeypatch.syspath_prepend(str(BENCH))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(BENCH)):
            del sys.modules[name]


def line(peer: str, rate: int, number: int) -> dict[str, Any]:
    """One measurement of ingest at batch 10."""
    said = {"section": "ingest", "measure": "top", "peer": peer, "batch": 10, "connections": 16, "round": number}
    return {
        **said,
        "entries_per_second": rate,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "service_cpu_share": 1,
        "load_cpu_share": 0,
    }


def test_entries_are_those_of_the_workload(bench: Any) -> None:
    """325 bytes an entry, `data` of 60 to 120 bytes on four of five, chains of about ten, no entry twice."""
    workload = bench("workload")
    made = list(itertools.islice(workload.bodies(100), workload.BLOCK // 100 + 100))
    entries = [entry for body in made for entry in json.loads(body)["traces"]]
    data = [len(json.dumps(entry["data"], separators=(",", ":"))) for entry in entries if "data" in entry]
    assert 315 < sum(map(len, made)) / len(entries) < 335
    assert (min(data), max(data)) == (60, 120)
    assert 0.78 < len(data) / len(entries) < 0.82
    assert len({(entry["correlation_id"], entry["timestamp"], entry["suffix"]) for entry in entries}) == len(entries)
    assert 9 < len(entries) / len({entry["correlation_id"] for entry in entries}) < 11


def test_load_counts_what_was_answered(bench: Any, tmp_path: Path) -> None:
    """Each answer in the time measured counts, paced ones come at the pace asked for, and an error ends the run."""
    service, load = bench("service"), bench("load")
    port = service.free_port()
    command = [sys.executable, str(BENCH / "peers" / "aiohttp_bare.py"), str(port)]
    with service.running(command, port, tmp_path) as bare:
        some = load.Generator(port, iter([load.post(b"{}")] * 50), 4, [bare.pid]).run(0, 30)
        paced = load.Generator(port, itertools.repeat(load.get("/bytes/100000")), 4).run(0.1, 1.0, 50)
        with pytest.raises(RuntimeError, match="404"):
            load.Generator(port, iter([load.get("/nothing")]), 1).run(0, 5)
    assert len(some.latencies) == 50
    assert 10 <= len(paced.latencies) <= 51


def test_a_verdict_is_taken_within_rounds(bench: Any) -> None:
    """A ratio compares what was measured in the same round, so a machine that slows down does not change it."""
    figures, goals = bench("figures"), bench("goals")
    rates = [("tracehub", 60, 1), ("decode", 100, 1), ("tracehub", 6, 2), ("decode", 10, 2), ("tracehub", 30, 3)]
    run = figures.Figures([line(*rate) for rate in rates])
    verdicts = {goal.text: verdict for goal, verdict in goals.judged(run)}
    assert verdicts["batch 10: 60 % of aiohttp that only decodes"] == ("60 %", True)
    assert verdicts["batch 100: 60 % of SQLite alone"] == bench("verdicts").NOTHING


def test_the_readme_shows_the_last_run(bench: Any, tmp_path: Path) -> None:
    """What stands between the markers is replaced, what stands around them stays."""
    report = bench("report")
    run = {
        "command": "make bench",
        "machine": {**MACHINE, "load_before": 0.1},
        "seconds": 60,
        "failures": [{"section": "live", "why": "it fell over"}],
        "lines": [line("tracehub", 10, 1), line("decode", 100, 1), {"section": "ingest", "absent": "x", "why": "y"}],
    }
    (tmp_path / "bench.json").write_text(json.dumps(run))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(tmp_path, readme)
    once = readme.read_text()
    report.write(tmp_path, readme)
    assert readme.read_text() == once
    assert once.startswith(f"before\n{report.BEGIN}\n")
    assert once.endswith(f"{report.END}\nafter\n")
    assert "old" not in once
    assert "| batch 10: 60 % of aiohttp that only decodes | 10 % | **no** |" in once
    assert "`live` failed: it fell over" in once


def test_a_section_that_fails_leaves_the_others(bench: Any) -> None:
    """It is noted with its last words, and the next one is measured."""
    run = bench("run")
    sections = [run.Section("gone", 1, ["nowhere.py"]), run.Section("disk", 1, ["peers/disk.py", "--seconds", "0.05"])]
    measured = run.Run(sections, {})
    measured.run()
    assert [failure["section"] for failure in measured.results["failures"]] == ["gone"]
    assert "nowhere.py" in measured.results["failures"][0]["why"]
    assert measured.results["lines"][0]["syncs_per_second"] > 0


def test_the_earlier_release_is_repaired(bench: Any) -> None:
    """A global that is declared after its use does not compile; moved to the top of its function, it does."""
    earlier = bench("peers.earlier_release")
    source = "TRACEHUB_DB = ''\n\ndef main():\n    print(TRACEHUB_DB)\n    global TRACEHUB_DB\n    TRACEHUB_DB = 'x'\n"
    with pytest.raises(SyntaxError):
        compile(source, "server.py", "exec")
    compile(earlier._repaired(source), "server.py", "exec")
