"""From the lines of a run to what people read: tables, plots, and the part of README.md between its markers.

python bench/report.py        makes them again from bench/results/
"""

import json
import sys
from pathlib import Path
from typing import Any

import goals
from figures import Figures, Spread, number
from service import BENCH
from verdicts import grown

RESULTS = BENCH / "results"
README = BENCH / "README.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
NAMES = {
    "tracehub": "TraceHub",
    "bare": "aiohttp, no work",
    "decode": "aiohttp, decodes only",
    "earlier": "TraceHub 0.1.0",
    "sqlite": "SQLite alone, this layout",
    "earlier_schema": "SQLite alone, the earlier layout",
}


def load(folder: Path) -> list[dict[str, Any]]:
    """The runs that are kept in a folder, the long one last."""
    return [json.loads(path.read_text()) for name in ("bench", "growth") if (path := folder / f"{name}.json").exists()]


def text(runs: list[dict[str, Any]], figures: Figures) -> str:
    """All of it, as Markdown."""
    parts = [_machine(run) for run in runs]
    parts += ["### What is to be reached", _goals(figures)]
    for title, table in (
        ("Ingest", _ingest(figures)),
        ("Paced at 70 % of the top rate", _paced(figures)),
        ("SQLite and the disk alone", _alone(figures)),
        ("Growth", _growth(figures)),
        ("Retention", _steady(figures)),
        ("Reads", _reads(figures)),
        ("Live", _live(figures)),
        ("The dashboard in Chromium", _page(figures)),
        ("Memory and start", _services(figures)),
        ("The client", _client(figures)),
    ):
        if table:
            parts += [f"### {title}", table]
    return "\n\n".join(parts) + "\n"


def write(folder: Path, readme: Path | None) -> str:
    """Make report.md and plots in the folder and, where there is one, the README's part."""
    runs = load(folder)
    figures = Figures([{"run": run["command"], **line} for run in runs for line in run["lines"]])
    report = text(runs, figures)
    (folder / "report.md").write_text(report)
    plots = _plots(folder, figures)
    if readme:
        head, _, rest = readme.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        shown = "\n".join(f"![{plot.stem}](results/{plot.name})" for plot in plots)
        readme.write_text(f"{head}{BEGIN}\n\n{report}\n{shown}\n\n{END}{tail}")
    return report


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def spread(value: Spread | None) -> str:
    """A median with its lowest and highest."""
    if value is None:
        return "-"
    if value.low == value.high:
        return number(value.median)
    return f"{number(value.median)} ({number(value.low)} to {number(value.high)})"


def _plots(folder: Path, figures: Figures) -> list[Path]:
    try:
        import plots
    except ImportError as error:
        print(f"no plots: {error} (pip install -e '.[bench]')", file=sys.stderr)
        return []
    return plots.draw(folder, figures)


def _machine(run: dict[str, Any]) -> str:
    machine = run["machine"]
    said = [
        f"`{run['command']}` on {machine['date']}, state {machine['commit']}: {machine['cpu']}, ",
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, {machine['file_system']}; ",
        f"Python {machine['python']}, SQLite {machine['sqlite']}, aiohttp {machine['aiohttp']}, ",
        f"msgspec {machine['msgspec']}.",
        f" It took {run['seconds'] / 60:.0f} min; the machine's load before it was {machine['load_before']}.",
        _pace(run),
    ]
    failed = [f"`{failure['section']}` failed: {failure['why']}" for failure in run["failures"]]
    absent = [f"No {line['absent']}: {line['why']}" for line in run["lines"] if "absent" in line]
    return "\n\n".join(["".join(said), *failed, *absent])


def _pace(run: dict[str, Any]) -> str:
    samples = Figures([{"pace_s": seconds} for seconds in run.get("paces_s", [])])
    pace = samples.spread("pace_s")
    return f" Between its sections 10 million additions took {spread(pace)} s." if pace else ""


def _goals(figures: Figures) -> str:
    words = {True: "yes", False: "**no**", None: "?"}
    rows = []
    for goal, verdict in goals.judged(figures):
        reason = goal.otherwise if verdict.met is False else ""
        rows.append([goal.text, verdict.figure, words[verdict.met], reason])
    return table(["", "figure", "met", "why not"], rows)


def _ingest(figures: Figures) -> str:
    rows = []
    keys = {(line["batch"], line["connections"]) for line in figures.select(section="ingest", measure="top")}
    for batch, connections in sorted(keys):
        for peer in ("tracehub", "bare", "decode", "earlier"):
            which = {"measure": "top", "peer": peer, "batch": batch, "connections": connections}
            if not figures.select(**which):
                continue
            columns = ("entries_per_second", "p50_ms", "p99_ms", "service_cpu_share", "load_cpu_share")
            cells = [spread(figures.spread(columns[0], **which))]
            cells += [number(figures.median(column, **which)) for column in columns[1:]]
            rows.append([f"{batch:,}", str(connections), NAMES[peer], *cells])
    head = ["batch", "connections", "", "entries/s", "p50 ms", "p99 ms", "its CPU, cores", "the load's CPU"]
    return table(head, rows)


def _paced(figures: Figures) -> str:
    rows = []
    for batch in sorted({line["batch"] for line in figures.select(section="ingest", measure="paced")}):
        which = {"measure": "paced", "batch": batch}
        cells = [spread(figures.spread(name, **which)) for name in ("asked", "entries_per_second", "p50_ms", "p99_ms")]
        rows.append([f"{batch:,}", *cells])
    return table(["batch", "asked for, entries/s", "entries/s", "p50 ms", "p99 ms"], rows)


def _alone(figures: Figures) -> str:
    rows = []
    for peer in ("sqlite", "earlier_schema"):
        which = {"measure": "alone", "peer": peer}
        if figures.select(**which):
            size = number(figures.median("bytes_per_entry", **which))
            rows.append([NAMES[peer], f"{spread(figures.spread('rate', **which))} entries/s, {size} bytes an entry"])
    if syncs := figures.spread("syncs_per_second", measure="disk"):
        rows.append(["fdatasync of 4 KiB", f"{spread(syncs)} /s"])
    return table(["", ""], rows)


def _growth(figures: Figures) -> str:
    rows = []
    for run, mark in sorted({(line["run"], line["mark"]) for line in figures.select(section="growth", measure="rate")}):
        which = {"section": "growth", "mark": mark, "run": run}
        rate = {**which, "measure": "rate"}
        rows.append(
            [
                f"`{run}`",
                f"{mark:,}",
                spread(figures.spread("entries_per_second", **rate, file="grown")),
                spread(figures.spread("entries_per_second", **rate, file="new")),
                spread(grown(mark, run=run)(figures)),
                number(figures.median("p99_ms", **rate, file="grown")),
                number(figures.median("bytes_per_entry", **which, measure="disk")),
            ]
        )
    head = ["", "entries", "entries/s in batches of 100", "on a new file, in turn", "ratio", "p99 ms", "bytes an entry"]
    return table(head, rows)


def _steady(figures: Figures) -> str:
    rows = []
    for kind, name in (("retention", "retention of seconds"), ("none", "everything kept")):
        which = {"section": "steady", "kind": kind}
        if figures.select(**which):
            columns = ("early_per_second", "late_per_second", "early_p99_ms", "late_p99_ms", "deleted_per_inserted")
            rows.append([name, *(spread(figures.spread(column, **which)) for column in columns)])
    head = ["", "entries/s at first", "entries/s later", "p99 ms at first", "later", "deleted per entry that came"]
    return table(head, rows)


def _reads(figures: Figures) -> str:
    rows = []
    columns = ("bytes", "p50_ms", "p99_ms", "bare_p50_ms", "bare_p99_ms", "p50_above_bare_ms", "times_bare")
    for section, file in (("reads", "large"), ("reads-small", "100,000 entries")):
        lines = [line for line in figures.select(section=section) if "p50_above_bare_ms" in line]
        rows += [[file, line["case"], *(number(line[column]) for column in columns)] for line in lines]
    for line in figures.select(section="reads-earlier"):
        if "case" in line:
            name = f"{line['case']}, TraceHub 0.1.0, nothing else running"
            rows.append([f"{line['entries']:,} entries", name, "", number(line["p50_ms"]), *[""] * 5])
    said = [
        f"The first `/stats/endpoints` over the last hour took {line['took_ms']:,} ms and {line['query_cpu_s']} s of "
        f"CPU; `/health` beside it took {line['health_p50_ms']} ms at the median and {line['health_p99_ms']} at the "
        "99th percentile."
        for line in figures.select(section="reads", case="last hour")
    ]
    head = ["file", "", "bytes", "p50 ms", "p99 ms", "bare p50", "bare p99", "p50 above", "times bare"]
    return "\n\n".join(part for part in (table(head, rows), *said) if part)


def _live(figures: Figures) -> str:
    rows = []
    lines = [line for line in figures.select(section="live") if "subscribers" in line]
    for case in dict.fromkeys(line["case"] for line in lines):
        (line, *_) = figures.select(section="live", case=case)
        follows = "a chain each" if line["chains"] else "everything"
        cells = [spread(figures.spread(name, section="live", case=case)) for name in ("p50_ms", "p99_ms", "max_ms")]
        more = ("query_cpu_share", "subscribers_cpu_share", "kib_per_subscriber")
        cells += [number(figures.median(name, section="live", case=case)) for name in more]
        rows.append([f"{line['subscribers']:,}", follows, f"{line['per_second']:,}", *cells])
    head = ["subscribers", "of", "entries/s", "p50 ms", "p99 ms", "max ms", "query's CPU, cores", "theirs"]
    return table([*head, "KiB each"], rows)


def _page(figures: Figures) -> str:
    rows = []
    lines = [line for section in ("page", "page-live") for line in figures.select(section=section)]
    for section, case in dict.fromkeys((line["section"], line["case"]) for line in lines):
        (line, *_) = figures.select(section=section, case=case)
        names = [name for name, value in line.items() if isinstance(value, int | float)]
        rows += [[case, name, spread(figures.spread(name, section=section, case=case))] for name in names]
    return table(["", "", ""], rows)


def _client(figures: Figures) -> str:
    rows = [
        [line["name"], f"{line['ns']:,}", f"{line['of_span']:.1%}", number(line["calls"])]
        for line in figures.select(section="client", measure="call")
    ]
    said = [
        f"Eight threads, {line['asked_per_second']:,} checkpoints/s asked for: {line['made_per_second']:,}/s made, "
        f"{line['delivered']:,} delivered, {line['dropped']:,} dropped and counted; a call took {line['p50_us']} "
        f"microseconds at the median, {line['p99_us']} at the 99th percentile."
        for line in figures.select(section="client", measure="sustained")
    ]
    return "\n\n".join(part for part in (table(["a call of", "ns", "of a span", "empty calls"], rows), *said) if part)


def _services(figures: Figures) -> str:
    rows = []
    for service in ("ingest", "query"):
        lines = figures.select(section="growth", measure="memory", service=service)
        for run, mark in sorted({(line["run"], line["mark"]) for line in lines}):
            which = {"section": "growth", "mark": mark, "service": service, "run": run}
            columns = ("peak_mb", "now_mb", "imports_ms", "healthy_ms")
            rows.append(
                [service, f"`{run}`", f"{mark:,}", *(number(figures.median(column, **which)) for column in columns)]
            )
    return table(["", "", "entries", "peak MB", "MB at the end", "imports alone, ms", "until /health, ms"], rows)


if __name__ == "__main__":
    print(write(RESULTS, README))
