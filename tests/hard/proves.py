"""`make test-hard-proves`: the rows can fail. A copy of the product is broken on purpose, the right row must go red.

PYTHONPATH=tests python -m hard.proves [NAME...]
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]


class Mutant(NamedTuple):
    """A way to break the product: in a file, one text instead of another; and the row that must see it."""

    name: str
    row: str
    file: str
    text: str
    instead: str


MUTANTS = (
    Mutant(
        "acknowledge before the commit",
        "crash",
        "ingest_svc/group_commit.py",
        "counts = self._keeper.write(lambda writer: writer.store(coming.entries, _now_ms(), coming.drops))",
        "counts = coming.entries.sizes\n"
        "        write = lambda writer: writer.store(coming.entries, _now_ms(), coming.drops)\n"
        "        __import__('threading').Timer(0.02, self._keeper.write, [write]).start()",
    ),
    Mutant("commit without a sync", "power_loss", "shared/storage/sqlite.py", "'FULL' if synced else 'OFF'", "'OFF'"),
    Mutant("leave in the WAL what could not be synced", "io_error", "shared/storage/writer.py", "self._bury()", "pass"),
    Mutant("keep the reserve for good", "disk_full", "shared/storage/reserve.py", "            self.let_go()\n", ""),
    Mutant(
        "take no lock",
        "bad_files",
        "shared/storage/claim.py",
        "if not locked(file):",
        "if False:",
    ),
    Mutant(
        "leave the gap event out",
        "retention",
        "query_svc/stream.py",
        'await self._response.write(b"event: gap\\ndata: %b\\n\\n" % encode(gap))',
        "_ = gap",
    ),
    Mutant(
        "count an expired entry on",
        "retention",
        "shared/storage/expiry.py",
        "entries = entries - ?1",
        "entries = entries",
    ),
    Mutant(
        "drop what is on its way", "shutdown", "shared/web/serve.py", "await app[DRAINING].drain(DRAINING_S)", "pass"
    ),
    Mutant("skip the Host check", "strangers", "shared/web/origins.py", "if host in self._known:", "if host != self:"),
    Mutant(
        "skip the Origin check",
        "strangers",
        "shared/web/origins.py",
        "if request.method not in READING:",
        "if request.method in READING:",
    ),
    Mutant(
        "take any secret",
        "strangers",
        "shared/web/lock.py",
        "[secret for secret in secrets if hmac.compare_digest(shown, secret.encode())]",
        "list(secrets)",
    ),
    Mutant("take any cookie", "strangers", "shared/web/login.py", "return is_signed and", "return"),
    Mutant("let secrets be guessed", "strangers", "shared/web/lock.py", "self._wrong.charge(client)", "pass"),
    Mutant(
        "count no calls",
        "strangers",
        "shared/web/fair_share.py",
        "self.admit(client, 1.0)\n            self._buckets.charge(client)",
        "self.admit(client, 1.0)",
    ),
    Mutant(
        "count no entries",
        "strangers",
        "shared/web/fair_share.py",
        "            self._buckets.charge(client, tokens)",
        "            pass",
    ),
    Mutant(
        "check nothing on the fast path",
        "strangers",
        "ingest_svc/fast_path.py",
        "self._access.gate.check(request)",
        "pass",
    ),
    Mutant(
        "let a client have any number of streams",
        "strangers",
        "shared/web/fair_share.py",
        "len(ends) >= self._max_client_streams",
        "len(ends) >= 10**9",
    ),
    Mutant(
        "let there be any number of streams",
        "strangers",
        "shared/web/fair_share.py",
        "self.streams >= self._max_streams",
        "self.streams >= 10**9",
    ),
    Mutant("leave line breaks in data", "inert", "shared/wire.py", "one_line(text) if line_breaks else text", "text"),
    Mutant("leave what is printed as it is", "inert", "shared/log.py", "if text.isprintable():", "if True:"),
    Mutant(
        "put text into the page as markup",
        "inert",
        "query_svc/dashboard/element.js",
        "node.append(...children.flat()",
        "for (const text of children.flat())\n"
        "    if (typeof text === 'string') node.insertAdjacentHTML('beforeend', text);\n"
        "  node.append(...children.flat().filter((child) => typeof child !== 'string')",
    ),
    Mutant("look for no depth", "bodies", "shared/wire.py", "if is_deeper(text, depth):", "if False:"),
    Mutant(
        "take long bodies apart on the event loop",
        "bodies",
        "ingest_svc/handlers.py",
        "await asyncio.to_thread(entries) if len(body) > LONG_BODY else entries()",
        "entries()",
    ),
    Mutant("read heads of any length", "heads", "shared/web/portions.py", "self._unknown += len(portion)", "pass"),
    Mutant(
        "answer as nobody documented", "documented", "shared/web/problems.py", "BadRequest, 400)", "BadRequest, 402)"
    ),
    Mutant(
        "let slow senders take their time",
        "slow_senders",
        "ingest_svc/intake.py",
        "self._receive_s - PROMISE_S)",
        "10**6)",
    ),
    Mutant(
        "keep no appointment",
        "overload",
        "ingest_svc/intake.py",
        "if not len(intake.timetable)",
        "if intake.timetable is not None",
    ),
    Mutant(
        "take any number of bodies",
        "overload",
        "ingest_svc/intake.py",
        "is_one_of_many = self.held > taken and size > SMALL_BYTES",
        "return 10**12",
    ),
)


def is_seen(mutant: Mutant) -> bool:
    """Whether the row goes red on a copy that is broken so."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="tracehub-mutant-") as directory:
        for name in filter(None, listed.split("\0")):
            if (PROJECT / name).is_file():
                (Path(directory) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / name, Path(directory) / name)
        broken = Path(directory) / mutant.file
        broken.write_text(broken.read_text().replace(mutant.text, mutant.instead))
        command = [sys.executable, "-m", "hard", mutant.row, "--quick", "--report", f"{directory}/report"]
        ended = subprocess.run(
            command, cwd=directory, env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": "tests"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ended.returncode == 1 and "BROKEN" in ended.stdout:
            return True
        print(ended.stdout[-2000:], ended.stderr[-2000:])
        return False


def main() -> None:
    """Break, look, tell."""
    missed = []
    for mutant in MUTANTS:
        if sys.argv[1:] and not any(word in mutant.name for word in sys.argv[1:]):
            continue
        seen = is_seen(mutant)
        print(f"{'seen' if seen else 'MISSED':<7} {mutant.row:<12} {mutant.name}", flush=True)
        missed += [] if seen else [mutant.name]
    sys.exit(f"not seen: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
