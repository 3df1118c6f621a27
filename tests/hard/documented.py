"""The OpenAPI document against what is really answered."""

from test_schemathesis import made_up, streams_made_up

from hard.report import Report, Scale
from hard.stage import memory_mb, started

PROMISE = "Whatever a request holds, its answer has a documented status, type and shape, and none is an internal error"
HOW = "Requests made up by schemathesis from the OpenAPI document, for every call, streams included, with several seeds"
SHORT = ("test_schemathesis.py", "test_openapi.py", "test_round_trip.py")
EXAMPLES = 200  # of each call
SEEDS = (1, 2, 3)


async def run(scale: Scale, report: Report) -> None:
    """Each seed on both ports, with what the seeds before left in the file."""
    with started("ingest_svc", "query_svc") as services:
        for number, seed in enumerate(SEEDS):
            for port in ("ingest", "query"):
                report.progress(number, len(SEEDS), f"seeds, {port}")
                code, said = await made_up(services, port, EXAMPLES, seed)
                assert code == 0, said[-3000:]
                (line,) = (line for line in said.splitlines() if " generated, " in line)
                report.tried(int(line.split()[0]), f"requests to {port}")
            statuses = await streams_made_up(services, EXAMPLES, seed)
            report.tried(sum(statuses.values()), f"for streams, of which {statuses[200]:,} were opened")
        for name, process in services.processes.items():
            assert "Traceback" not in services.log(name), services.log(name)[-3000:]
            report.figure(f"{name}_mb", memory_mb(process.pid))
