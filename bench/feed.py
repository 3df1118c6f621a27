"""Post the entries of NDJSON files (plain or .gz) to the ingest port, in batches.

    python bench/feed.py FILE... [--url http://127.0.0.1:8099] [--batch 100]

Sending a file twice is harmless: the second time every entry is a duplicate. Ends with the counts of all files.
"""

import argparse
import gzip
import http.client
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit


def lines(files: list[Path]) -> Iterator[bytes]:
    """The lines of all files, one entry each."""
    for file in files:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            yield from (line.strip() for line in stream if line.strip())


def main() -> None:
    """Feed, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--url", default=os.environ.get("TRACEHUB_URL") or "http://127.0.0.1:8099")
    parser.add_argument("--batch", type=int, default=100, help="entries in a batch (100)")
    arguments = parser.parse_args()
    address = urlsplit(arguments.url)
    headers = {"Content-Type": "application/json"}
    if secret := os.environ.get("TRACEHUB_SECRET", "").split(",")[0]:
        headers["X-TraceHub-Secret"] = secret
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=60)
    counts = {"accepted": 0, "inserted": 0, "duplicates": 0}
    started = time.perf_counter()
    feed = lines(arguments.files)
    while batch := list(itertools.islice(feed, arguments.batch)):
        connection.request("POST", "/ingest", b'{"traces":[' + b",".join(batch) + b"]}", headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            sys.exit(f"{response.status} after {counts['accepted']} entries: {answer.decode(errors='replace')}")
        for name, count in json.loads(answer).items():
            counts[name] += count
    seconds = time.perf_counter() - started
    print(json.dumps({**counts, "seconds": round(seconds, 2), "rate": round(counts["accepted"] / seconds)}))


if __name__ == "__main__":
    main()
