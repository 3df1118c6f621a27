"""The promises of TraceHub, each tried until it would break: `make test-hard`.

A row of the table is a module here. To add one, write `tests/hard/NAME.py` with

    PROMISE = "what holds, in one sentence"
    HOW = "how it is tried, in one sentence"

    async def run(scale: Scale, report: Report) -> None: ...

and put NAME into ROWS below. `run` starts what it needs with `stage.started(...)`, which gives it both services as
real processes on a file of their own and ends them; it says how far it is with `report.progress(done, of, what)`, how
often it tried with `report.tried(count, "kills")`, and what it measured with `report.figure("restart_ms", 512)`. A
promise that does not hold is an `assert` with a message. What cannot be tried on this machine raises `NotHere("why")`.

`scale.of(3, 200)` is 3 in the short form and 200 in the long one. The short form takes about two seconds: `make test`
runs all of them (tests/test_hard.py), `make test-hard QUICK=1` as well. A module whose short form is in the suite
already names those tests in `SHORT = ("test_desk.py::test_kill_9_leaves_a_whole_file", ...)`: the table runs them in
the short form instead of `run`, and beside it in the long one. Where they are all there is, there is no `run`.
"""

ROWS = (
    "crash",
    "query_crash",
    "power_loss",
    "disk_full",
    "io_error",
    "bad_files",
    "flipped_bits",
    "overload",
    "slow_senders",
    "duplicates",
    "streams",
    "wal_growth",
    "retention",
    "max_size",
    "clock",
    "upgrade",
    "memory",
    "shutdown",
    "strangers",
    "inert",
    "bodies",
    "heads",
    "documented",
)
