"""The Prometheus text format, version 0.0.4."""

from collections.abc import Iterable, Mapping
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


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels) + "}"
