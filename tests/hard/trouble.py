"""Processes whose clock jumps and whose disk fails when we say so, by a small library put before the C library."""

import contextlib
import errno
import mmap
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from conftest import Services

from hard.report import NotHere
from hard.stage import started

SOURCE = Path(__file__).with_suffix(".c")
CLOCK_OFFSET_S, SYNC_ERROR, WRITE_ERROR, SYNCED_WAL_BYTES, WAL_SYNCS, QUOTA = range(0, 48, 8)


class Trouble:
    """What is wrong just now; it holds for every process started with it, from the next call on."""

    def __init__(self, file: Path) -> None:
        file.write_bytes(bytes(4096))
        with file.open("r+b") as opened:
            self._control = mmap.mmap(opened.fileno(), 4096)

    def clock_s(self, offset: int) -> None:
        """The clock is ahead by so many seconds."""
        self._set(CLOCK_OFFSET_S, offset)

    def syncs_fail(self, fail: bool) -> None:
        """Syncing the database file or its WAL is an I/O error."""
        self._set(SYNC_ERROR, errno.EIO if fail else 0)

    def disk_is_full(self, full: bool) -> None:
        """Writing to the database file or its WAL finds no room."""
        self._set(WRITE_ERROR, errno.ENOSPC if full else 0)

    def room_is_a_quota(self) -> None:
        """Where there is no room left it is said to be the user's share of a disk that has more."""
        self._set(QUOTA, 1)

    @property
    def synced_wal_bytes(self) -> int:
        """How long the WAL was when it was last synced."""
        return int(struct.unpack_from("<q", self._control, SYNCED_WAL_BYTES)[0])

    @property
    def wal_syncs(self) -> int:
        """How often the WAL was synced."""
        return int(struct.unpack_from("<q", self._control, WAL_SYNCS)[0])

    def _set(self, place: int, value: int) -> None:
        struct.pack_into("<q", self._control, place, value)


@contextlib.contextmanager
def troubled(*names: str, **environ: str) -> Iterator[tuple[Services, Trouble]]:
    """Services as of `started`, and the trouble they are in."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NotHere("there is no C compiler: install gcc")
    with started(**environ) as services:
        library, file = services.db.with_name("trouble.so"), services.db.with_name("trouble")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        trouble = Trouble(file)
        services.environ |= {"LD_PRELOAD": str(library), "TROUBLE_FILE": str(file)}
        for name in names:
            services.start(name)
        yield services, trouble
