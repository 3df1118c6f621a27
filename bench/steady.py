"""What retention costs: ingest flat out, before retention deletes anything and while it deletes as much as comes in.

    python bench/steady.py [--rounds 3] [--retention-s 10] [--directory DIR]

A service with a retention of seconds, batches of 100 over 16 connections. The rate is taken from the warm-up to the end
of the first retention, and again over two of them when three have passed: what came in at full speed before anything
was deleted has left by then, and as much leaves as comes. A second service that keeps everything runs the same
way, so that what the growth of the file costs is not put down to retention. JSON lines.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from load import Generator, post
from progress import Progress
from service import Service, ingest, metrics, scratch
from workload import bodies

CONNECTIONS = 16
BATCH = 100


def main() -> None:
    """Measure round after round."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--retention-s", type=float, default=6.0)
    parser.add_argument("--directory", type=Path, help="where the files are made, and deleted again")
    chosen = parser.parse_args()
    with Progress("steady", chosen.rounds) as progress:
        for number in range(1, chosen.rounds + 1):
            progress.begin(number)
            for kind, hours in (("retention", chosen.retention_s / 3600), ("none", 24.0)):
                progress.step(f"ingest flat out, {'retention of seconds' if kind == 'retention' else 'no retention'}")
                environ = {"TRACEHUB_RETENTION_HOURS": f"{hours:.7f}"}
                with scratch(chosen.directory) as folder, ingest(folder, environ) as service:
                    report = {"measure": "steady", "kind": kind, "round": number}
                    print(json.dumps({**report, **_measure(service, chosen.retention_s)}), flush=True)


def _measure(service: Service, retention_s: float) -> dict[str, Any]:
    source = (post(body) for body in bodies(BATCH, seed=5))
    early = Generator(service.port, source, CONNECTIONS).run(1.0, retention_s - 2.0)
    Generator(service.port, source, CONNECTIONS).run(0, 2 * retention_s)
    before = metrics(service)
    late = Generator(service.port, source, CONNECTIONS).run(0, 2 * retention_s)
    after = metrics(service)
    came = after["entries_inserted_total"] - before["entries_inserted_total"]
    went = after["entries_expired_total"] - before["entries_expired_total"]
    return {
        "early_per_second": round(early.per_second * BATCH),
        "late_per_second": round(late.per_second * BATCH),
        "early_p99_ms": round(early.quantile_ms(0.99), 1),
        "late_p99_ms": round(late.quantile_ms(0.99), 1),
        "deleted_per_inserted": round(went / came, 2),
    }


if __name__ == "__main__":
    main()
