"""A ceiling: how often in a second the disk takes 4 KiB for good (fdatasync).

python bench/peers/disk.py --directory DIR
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from service import scratch

PAGE = os.urandom(4096)


def main() -> None:
    """Write, sync, count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--directory", type=Path, help="where the file is made, and deleted again")
    arguments = parser.parse_args()
    with scratch(arguments.directory) as directory, (directory / "disk").open("wb") as file:
        syncs, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < arguments.seconds:
            os.pwrite(file.fileno(), PAGE, syncs % 1_000 * len(PAGE))
            os.fdatasync(file.fileno())
            syncs += 1
    print(json.dumps({"syncs_per_second": round(syncs / elapsed)}))


if __name__ == "__main__":
    main()
