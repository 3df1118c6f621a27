"""The results as pictures. Needs matplotlib (`pip install -e '.[bench]'`)."""

from pathlib import Path

import matplotlib as mpl
from figures import Figures

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {"tracehub": "#1f6f8b", "bare": "#b0b0b0", "decode": "#808080", "earlier": "#c0603b"}
LABELS = {"tracehub": "TraceHub", "bare": "aiohttp", "decode": "aiohttp + decode", "earlier": "TraceHub 0.1.0"}


def draw(folder: Path, figures: Figures) -> list[Path]:
    """Every plot that the lines have something for."""
    made = [
        _ingest(folder / "ingest.png", figures),
        _paced(folder / "latency.png", figures),
        _growth(folder / "growth.png", figures),
        _live(folder / "live.png", figures),
    ]
    return [path for path in made if path]


def _ingest(path: Path, figures: Figures) -> Path | None:
    batches = sorted({line["batch"] for line in figures.select(section="ingest", measure="top", connections=16)})
    if not batches:
        return None
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for place, (peer, colour) in enumerate(COLOURS.items()):
        for position, batch in enumerate(batches):
            which = {"measure": "top", "peer": peer, "batch": batch, "connections": 16}
            rate = figures.spread("entries_per_second", **which)
            if rate is None or not rate.median:
                continue
            error = [[rate.median - rate.low], [rate.high - rate.median]]
            label = LABELS[peer] if batch == batches[-1] else None
            axes.bar(position + (place - 1.5) * 0.2, rate.median, 0.2, color=colour, yerr=error, label=label)
    if alone := figures.median("rate", measure="alone", peer="sqlite"):
        axes.axhline(alone, color="#3a8f5c", linestyle="--", label="SQLite alone, commits of 1,000")
    axes.set(yscale="log", ylabel="entries/s (logarithmic)", xlabel="entries in a request, 16 connections")
    axes.set_xticks(range(len(batches)), [f"{batch:,}" for batch in batches])
    axes.set_title("Ingest: medians, lowest and highest of the rounds")
    return _save(path, figure, axes)


def _paced(path: Path, figures: Figures) -> Path | None:
    batches = sorted({line["batch"] for line in figures.select(section="ingest", measure="paced")})
    if not batches:
        return None
    figure, axes = plt.subplots(figsize=(8, 4))
    for name, colour in (("p50_ms", "#1f6f8b"), ("p99_ms", "#c0603b")):
        values = [figures.median(name, measure="paced", batch=batch) for batch in batches]
        axes.plot(range(len(batches)), values, "o-", color=colour, label=name.partition("_")[0])
    axes.set(ylabel="ms", xlabel="entries in a request, 16 connections", ylim=(0, None))
    axes.set_xticks(range(len(batches)), [f"{batch:,}" for batch in batches])
    axes.set_title("Latency of a durable answer at 70 % of the top rate")
    return _save(path, figure, axes)


def _growth(path: Path, figures: Figures) -> Path | None:
    curve = figures.select(section="growth", measure="curve")
    if not curve:
        return None
    largest = max(line["mark"] for line in curve)
    curve = sorted(curve, key=lambda line: line["in_file"])
    figure, axes = plt.subplots(figsize=(8, 4))
    axes.plot(
        [line["in_file"] / 1e6 for line in curve],
        [line["entries_per_second"] for line in curve],
        ".",
        color="#1f6f8b",
        label="while filling, batches of 1,000",
    )
    for file, colour in (("grown", "#c0603b"), ("new", "#808080")):
        lines = figures.select(section="growth", measure="rate", file=file)
        marks = sorted({line["mark"] for line in lines})
        values = [figures.median("entries_per_second", measure="rate", file=file, mark=mark) for mark in marks]
        label = "batches of 100" if file == "grown" else "the same on a new file, in turn"
        axes.plot([mark / 1e6 for mark in marks], values, "o-", color=colour, label=label)
    axes.set(ylabel="entries/s", xlabel="million entries in the file", ylim=(0, None), xlim=(0, largest / 1e6 * 1.03))
    axes.set_title("Rate as the file grows")
    return _save(path, figure, axes)


def _live(path: Path, figures: Figures) -> Path | None:
    lines = [line for line in figures.select(section="live") if "subscribers" in line]
    cases = list(dict.fromkeys(line["case"] for line in lines))
    if not cases:
        return None
    figure, axes = plt.subplots(figsize=(8, 4))
    for shift, (name, colour) in ((-0.2, ("p50_ms", "#1f6f8b")), (0.2, ("p99_ms", "#c0603b"))):
        values = [figures.median(name, section="live", case=case) or 0 for case in cases]
        axes.bar(
            [place + shift for place in range(len(cases))], values, 0.4, color=colour, label=name.partition("_")[0]
        )
    axes.set_xticks(range(len(cases)), cases)
    axes.set(ylabel="ms", xlabel="subscribers")
    axes.set_title("From a sender's request to the event at its subscribers")
    return _save(path, figure, axes)


def _save(path: Path, figure: "plt.Figure", axes: "plt.Axes") -> Path:
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
