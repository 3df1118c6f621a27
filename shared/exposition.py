"""The Prometheus text format, version 0.0.4."""

import resource
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Metric(NamedTuple):
    """One metric with its value, or with a value for each set of labels."""

    name: str  # without the prefix `tracehub_`
    kind: Literal["counter", "gauge"]
    help: str
    value: float | Mapping[tuple[tuple[str, str], ...], float]


def exposition(metrics: Iterable[Metric]) -> str:
    """The text of the metrics."""
    lines: list[str] = []
    for metric in metrics:
        name = f"tracehub_{metric.name}"
        lines += (f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}")
        values = metric.value if isinstance(metric.value, Mapping) else {(): metric.value}
        lines += (f"{name}{_labels(labels)} {value:.15g}" for labels, value in values.items())
    return "\n".join(lines) + "\n"


def file_sizes(path: Path) -> tuple[int, int]:
    """Bytes of the database file and of its WAL, 0 for one that is not there."""
    return _size(path), _size(path.with_name(f"{path.name}-wal"))


def memory_bytes() -> int:
    """What this process has in memory now; where the system does not tell, the most it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels) + "}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
