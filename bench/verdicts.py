"""How a run is judged: from its lines to a figure as text, and whether that is enough."""

from collections.abc import Callable
from typing import Any, NamedTuple

from figures import Figures, Spread, number

RATE = "entries_per_second"
MARK = 10_000_000  # entries in the file that a goal is about, unless it says another number
SAME = 1.25  # times as long still counts as the same: two runs of a moment differ as much


class Verdict(NamedTuple):
    """The figure as text, and whether it is enough; None: this run does not say."""

    figure: str
    met: bool | None


NOTHING = Verdict("not measured", None)


def at_least(ratio: Callable[[Figures], Spread | None], least: float, unit: str = "%") -> Callable[[Figures], Verdict]:
    """A goal for a ratio, in percent or in times."""

    def judge(figures: Figures) -> Verdict:
        spread = ratio(figures)
        if spread is None:
            return NOTHING
        scale = 100 if unit == "%" else 1
        middle, low, high = (number(value * scale) for value in spread)
        around = "" if low == high else f" ({low} to {high})"
        return Verdict(f"{middle} {unit}{around}", spread.median >= least)

    return judge


def at_most(figure: Callable[[Figures], float | None], most: float, unit: str) -> Callable[[Figures], Verdict]:
    """A goal for a figure that should be small."""

    def judge(figures: Figures) -> Verdict:
        value = figure(figures)
        return NOTHING if value is None else Verdict(f"{number(value)} {unit}", value <= most)

    return judge


def all_of(*judges: Callable[[Figures], Verdict]) -> Callable[[Figures], Verdict]:
    """Several that must all be met."""

    def judge(figures: Figures) -> Verdict:
        verdicts = [judge(figures) for judge in judges]
        known = [verdict.met for verdict in verdicts if verdict.met is not None]
        met = None if not known else all(known) and (None not in [v.met for v in verdicts] or None)
        return Verdict("; ".join(verdict.figure for verdict in verdicts), met)

    return judge


def top(peer: str, batch: int, connections: int = 16) -> tuple[str, dict[str, Any]]:
    """The top rate of a peer over HTTP."""
    return RATE, {
        "section": "ingest",
        "measure": "top",
        "peer": peer,
        "batch": batch,
        "connections": connections,
    }


def alone(peer: str) -> tuple[str, dict[str, Any]]:
    """The rate of SQLite alone."""
    return "rate", {"section": "ingest", "measure": "alone", "peer": peer}


def beside(batch: int, peer: str) -> Callable[[Figures], Spread | None]:
    """The product's top rate in parts of a peer's at the same batch size."""
    return lambda figures: figures.ratio(top("tracehub", batch), top(peer, batch))


def beside_sqlite(batch: int) -> Callable[[Figures], Spread | None]:
    """The product's top rate in parts of SQLite alone."""
    return lambda figures: figures.ratio(top("tracehub", batch), alone("sqlite"))


def paced_p99_ms(figures: Figures) -> float | None:
    """The slowest in a hundred, in batches of 100 at a part of the top rate."""
    return figures.median("p99_ms", section="ingest", measure="paced", batch=100)


def single(figures: Figures) -> Spread | None:
    """Entries one by one over one connection, in parts of what the disk syncs."""
    disk = ("syncs_per_second", {"section": "ingest", "measure": "disk"})
    return figures.ratio(top("tracehub", 1, connections=1), disk)


def grown(mark: int, **more: Any) -> Callable[[Figures], Spread | None]:
    """The rate with that many entries in the file, in parts of that of a new file in the same minute."""

    def ratio(figures: Figures) -> Spread | None:
        which = {"section": "growth", "measure": "rate", "mark": mark, **more}
        return figures.ratio((RATE, {**which, "file": "grown"}), (RATE, {**which, "file": "new"}))

    return ratio


def left_with_retention(figures: Figures) -> Spread | None:
    """What is left of the rate with retention running, of that of the service that keeps everything."""
    which = {"section": "steady", "measure": "steady"}
    kept = ("late_per_second", {**which, "kind": "none"})
    return figures.ratio(("late_per_second", {**which, "kind": "retention"}), kept)


def balance(figures: Figures) -> Verdict:
    """Whether as much was deleted as came in."""
    part = figures.median("deleted_per_inserted", section="steady", kind="retention")
    return NOTHING if part is None else Verdict(f"{number(part)} deleted for each that came in", part >= 0.9)


def at_most_bytes(most: float) -> Callable[[Figures], Verdict]:
    """A goal for the bytes of an entry in a file of ten million; a larger one is told beside it."""

    def judge(figures: Figures) -> Verdict:
        lines = figures.select(section="growth", measure="disk")
        by_mark = {line["mark"]: line["bytes_per_entry"] for line in lines if line["mark"] >= MARK}
        if MARK not in by_mark:
            return NOTHING
        said = ", ".join(f"{size:.1f} bytes at {mark // 10**6} M" for mark, size in sorted(by_mark.items()))
        return Verdict(said, by_mark[MARK] <= most)

    return judge


def peak(service: str) -> Callable[[Figures], float | None]:
    """The most memory that a service had, flat out, at any size of the file."""

    def most(figures: Figures) -> float | None:
        values = figures.values("peak_mb", section="growth", measure="memory", service=service)
        if service == "ingest":
            values += figures.values("peak_mb", section="ingest", measure="top", peer="tracehub")
        return max(values, default=None)

    return most


def slope(service: str) -> Callable[[Figures], float | None]:
    """Megabytes for each million entries, between a million and the largest file."""

    def per_million(figures: Figures) -> float | None:
        lines = figures.select(section="growth", measure="memory", service=service)
        lines = sorted((line for line in lines if line["mark"] >= 1_000_000), key=lambda line: line["in_file"])
        if not lines:
            return None
        last = lines[-1]
        first = next(line for line in lines if line.get("run") == last.get("run"))
        if first is last:
            return None
        return (last["now_mb"] - first["now_mb"]) / (last["in_file"] - first["in_file"]) * 1_000_000

    return per_million


def start(service: str) -> Callable[[Figures], float | None]:
    """Milliseconds to /health beyond what the imports take, on the largest file."""

    def beyond(figures: Figures) -> float | None:
        lines = figures.select(section="growth", measure="start", service=service)
        return max(lines, key=lambda line: line["in_file"])["beyond_ms"] if lines else None

    return beyond


def live(case: str, figure: str) -> Callable[[Figures], float | None]:
    """A figure of one case of live events."""
    return lambda figures: figures.median(figure, section="live", case=case)


def reads(figures: Figures) -> Verdict:
    """Chains and pages of chains: above bare aiohttp at the median, and how far the slowest are from it."""
    lines = [
        line
        for line in figures.select(section="reads")
        if line["case"].startswith(("trace", "correlations")) and not line["case"].endswith("none")
    ]
    if not lines:
        return NOTHING
    slowest = max(lines, key=lambda line: line["p50_above_bare_ms"])
    widest = max(lines, key=lambda line: line["p99_by_p50"])
    said = (
        f"at most {number(slowest['p50_above_bare_ms'])} ms above ({slowest['case']}); "
        f"p99 at most {number(widest['p99_by_p50'])} times p50 ({widest['case']})"
    )
    return Verdict(said, slowest["p50_above_bare_ms"] < 1 and widest["p99_by_p50"] < 10)


def long_chains(figures: Figures) -> Verdict:
    """Chains of 10,000 entries beside as many bytes."""
    lines = [line for line in figures.select(section="reads") if line["case"].startswith("long")]
    if not lines:
        return NOTHING
    said = "; ".join(f"{number(line['times_bare'])} times ({line['case']})" for line in lines)
    return Verdict(said, all(line["times_bare"] <= 3 for line in lines))


def same_at_any_size(figures: Figures) -> Verdict:
    """Whether these answers take as long from a large file as from a small one, in times of a bare answer then."""
    said, met = [], []
    for case in ("recent", "stats"):
        small = figures.median("times_bare", section="reads-small", case=case)
        large = figures.median("times_bare", section="reads", case=case)
        if small is None or large is None:
            return NOTHING
        said.append(f"{case}: {number(small)} times bare aiohttp at 100,000 entries, {number(large)} at 10 M")
        met.append(large <= SAME * small)
    return Verdict("; ".join(said), all(met))


def in_time(case: str, p50_ms: float, p99_ms: float) -> Callable[[Figures], Verdict]:
    """A case whose events are all there, half of them and nearly all of them soon enough."""

    def complete(figures: Figures) -> Verdict:
        lost = figures.values("lost", section="live", case=case)
        return Verdict(f"{number(sum(lost))} lost", not sum(lost)) if lost else NOTHING

    return all_of(
        at_most(live(case, "p50_ms"), p50_ms, "ms p50"), at_most(live(case, "p99_ms"), p99_ms, "ms p99"), complete
    )


def keeps_up(figures: Figures) -> Verdict:
    """Whether the stream follows ingest, and says by how much it does not."""
    lines = figures.select(section="live", case="flat-out")
    if not lines:
        return NOTHING
    lag = max(line["lag_at_the_end"]["entries"] for line in lines)
    rate = figures.median("ingested_per_second", section="live", case="flat-out")
    after = max(line["caught_up_after_s"] for line in lines)
    said = f"{number(rate)} entries/s; /stats says it lags by {number(lag)} entries, gone after {number(after)} s"
    return Verdict(said, all(line["left"] == 0 for line in lines))


def page(case: str, figure: str, section: str = "page") -> Callable[[Figures], float | None]:
    """A figure of the dashboard in a browser."""
    return lambda figures: figures.median(figure, section=section, case=case)


def smooth(figures: Figures) -> Verdict:
    """Frames a second."""
    scroll, zoom = (page("chain", name)(figures) for name in ("scroll_fps", "zoom_fps"))
    if scroll is None or zoom is None:
        return NOTHING
    return Verdict(f"{number(scroll)} frames/s scrolling, {number(zoom)} zooming", min(scroll, zoom) >= 50)


def idle(figures: Figures) -> Verdict:
    """The query process while nothing comes."""
    alone, one = (live("idle", name)(figures) for name in ("cpu_share", "cpu_share_with_one_subscriber"))
    if alone is None or one is None:
        return NOTHING
    return Verdict(f"{alone:.1%} with none, {one:.1%} with one", alone < 0.005 and one < 0.03)
