"""The Grafana dashboard and what Prometheus asks, beside what the services tell."""

import json
import re
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parent.parent / "deploy" / "grafana"


async def test_the_dashboard_asks_for_metrics_that_there_are(ingest: Any, query: Any) -> None:
    """Every metric that a panel names is one of the services', and each counter is shown as a rate or an increase."""
    kinds: dict[str, str] = {}
    for client in (ingest, query):
        async with client.get("/metrics") as response:
            kinds |= dict(re.findall(r"^# TYPE (\S+) (\S+)$", await response.text(), re.MULTILINE))
    panels = json.loads((GRAFANA / "tracehub.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    for expression in asked:
        for before, name in re.findall(r"(\w*\(?)(tracehub_\w+)", expression):
            assert (before in ("rate(", "increase(")) == (kinds[name] == "counter"), expression
    shown = set(re.findall(r"tracehub_\w+", " ".join(asked)))
    assert kinds.keys() - shown <= {"tracehub_tail_cursor", "tracehub_tail_lag_entries"}


def test_panels_do_not_lie_upon_each_other() -> None:
    """Each has a place and a number of its own."""
    panels = json.loads((GRAFANA / "tracehub.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)


def test_prometheus_asks_the_default_ports() -> None:
    """The ports are those that both services have unless they are told otherwise."""
    assert re.findall(r"127\.0\.0\.1:(\d+)", (GRAFANA / "prometheus.yml").read_text()) == ["8099", "8100"]
