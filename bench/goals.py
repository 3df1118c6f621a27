"""What the product is meant to reach, and whether a run shows that it does.

A goal's `otherwise` is the reason as far as it is known, shown only where the goal is missed.
"""

from collections.abc import Callable
from typing import NamedTuple

from figures import Figures
from verdicts import (
    Verdict,
    all_of,
    alone,
    at_least,
    at_most,
    at_most_bytes,
    balance,
    beside,
    beside_sqlite,
    grown,
    idle,
    in_time,
    keeps_up,
    left_with_retention,
    long_chains,
    paced_p99_ms,
    page,
    peak,
    reads,
    same_at_any_size,
    single,
    slope,
    smooth,
    start,
)

TWO_CORES = "what talks, what writes and the load share two cores, and 16 connections make small commits"
STORING = (
    f"{TWO_CORES}: storing doubles what a request costs, and if no core ever waited it would be about half "
    "(bench/limits.md)"
)


class Goal(NamedTuple):
    """One line of what is to be reached."""

    text: str
    judge: Callable[[Figures], Verdict]
    otherwise: str = ""


def judged(figures: Figures) -> list[tuple[Goal, Verdict]]:
    """Every goal beside what the run says about it."""
    return [(goal, goal.judge(figures)) for goal in GOALS]


GOALS = [
    Goal("Ingest, 16 connections, batch 1: half of bare aiohttp", at_least(beside(1, "bare"), 0.5), TWO_CORES),
    Goal("batch 10: 60 % of aiohttp that only decodes", at_least(beside(10, "decode"), 0.6), STORING),
    Goal("batch 100: 60 % of SQLite alone", at_least(beside_sqlite(100), 0.6), TWO_CORES),
    Goal("batch 1,000: 60 % of SQLite alone", at_least(beside_sqlite(1_000), 0.6), TWO_CORES),
    Goal(
        "SQLite alone with the product's layout: 3 times the earlier layout",
        at_least(lambda figures: figures.ratio(alone("sqlite"), alone("earlier_schema")), 3, "times"),
    ),
    Goal(
        "batch 10, 100 and 1,000: 120 times the earlier release",
        all_of(*(at_least(beside(batch, "earlier"), 120, "times") for batch in (10, 100, 1_000))),
        TWO_CORES,
    ),
    Goal(
        "batch 100, paced at 70 % of the top rate: p99 under 25 ms",
        at_most(paced_p99_ms, 25, "ms"),
        "all wait for a commit that folds the WAL on a slow core or meets a stalled disk (bench/decisions.md, The WAL)",
    ),
    Goal(
        "one connection, batch 1: a third of the disk's syncs",
        at_least(single, 1 / 3),
        "three processes wake one another, which takes longer than two syncs before anything is stored, unless a sync "
        "takes its time (bench/limits.md)",
    ),
    Goal(
        "Growth: at 10 M entries 80 % of the rate at 100,000",
        at_least(grown(10_000_000), 0.8),
        "its rounds lie far apart where the speed of the machine changes or its disk stalls",
    ),
    Goal("at 30 M entries 70 % (`make bench-growth`)", at_least(grown(30_000_000), 0.7)),
    Goal(
        "retention that deletes as much as comes in leaves 75 %",
        all_of(at_least(left_with_retention, 0.75), balance),
        "an entry that goes takes the writing thread a fifth of the time of one that comes; a third more is written",
    ),
    Goal(
        "Disk: 130 bytes an entry, everything included",
        at_most_bytes(130),
        "72 are `data`, kept as text; of the rest its row has 22, the key that finds duplicates 22, its share of the "
        "chain 11",
    ),
    Goal(
        "Reads at 10 M entries, ingest at half its rate: chains and their pages within 1 ms of bare aiohttp at p50, "
        "p99 under 10 times that (a filter that finds nothing looks at all that it may: see the table)",
        reads,
        "the slowest takes six times a bare answer, more than 1 ms above it in the slower minutes of a machine that "
        "ingest shares",
    ),
    Goal(
        "a chain of 10,000 entries within 3 times the time of sending its bytes",
        long_chains,
        "only a chain that is asked for again, unchanged, is near the time of its bytes; rows have to be read",
    ),
    Goal("`/recent` and `/stats` never slower with more entries", same_at_any_size),
    Goal("Live, 250 entries/s, 100 subscribers: p50 at most 5 ms, p99 20", in_time("all-100", 5, 20)),
    Goal(
        "1,000 subscribers: p99 at most 40 ms",
        in_time("all-1000", 40, 40),
        "a quarter of a million events a second keep a core busy: what slows it down or shares it shows",
    ),
    Goal("1,000 subscribers of a chain each, 250 entries/s: p50 5 ms, p99 40", in_time("chains-1000", 5, 40)),
    Goal("the same at 1,000 entries/s", in_time("chains-1000-fast", 5, 40)),
    Goal("ingest flat out: keeps up, or says by how much it lags", keeps_up),
    Goal("idle, query's CPU: near 0 with no subscriber, under 3 % with one", idle),
    Goal("Page: 250 KB in all", at_most(page("size", "bytes"), 250_000, "bytes")),
    Goal(
        "first list within 300 ms of the request, a million entries",
        at_most(page("list", "shown_ms"), 300, "ms"),
        "counted from the request of the page with nothing cached; from the list's own request it is less than half",
    ),
    Goal(
        "a chain that runs: an entry is on the screen within half a second of its commit",
        at_most(page("live", "receipt_to_paint_p99_ms", "page-live"), 500, "ms p99"),
    ),
    Goal("a chain of 20,000 entries shown within 1 s", at_most(page("chain", "shown_ms"), 1_000, "ms")),
    Goal("and moving at 50 frames/s or more", smooth),
    Goal(
        "10 minutes of tail at 1,000 entries/s: the tab grows by at most 10 MB (half a minute is measured here, "
        "ten in docs/dashboard.md)",
        at_most(page("tail", "process_growth_mb"), 10, "MB"),
    ),
    Goal("Memory: ingest under 200 MB flat out", at_most(peak("ingest"), 200, "MB")),
    Goal("query under 150 MB, and so many KiB a subscriber (see Live)", at_most(peak("query"), 150, "MB")),
    Goal(
        "neither grows by more than 2 MB a million entries",
        all_of(at_most(slope("ingest"), 2, "MB (ingest)"), at_most(slope("query"), 2, "MB (query)")),
    ),
    Goal(
        "Start: /health within 200 ms of the imports",
        all_of(at_most(start("ingest"), 200, "ms (ingest)"), at_most(start("query"), 200, "ms (query)")),
    ),
]
