"""Room on the disk that nobody else can take: deleting needs some before it frees any.

A deletion is written to the WAL first, and the WAL begins anew only when all of it has found its place in the file. On
a full disk neither finds room. So a file beside the database keeps some, which is let go for deletions and checkpoints
alone: entries are refused until it is there again, or they would take it.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from shared.errors import DiskFull
from shared.storage.sqlite import CHECKPOINT_PAGES, PAGE_BYTES, WAL_LIMIT, full, open_beside

MOST_BYTES: Final = WAL_LIMIT  # all of a WAL may be new pages of the file
PART: Final = 8  # one byte in so many of a small disk
WAL_PART: Final = 4  # of the reserve may be in the WAL before it is folded into the file
LESS: Final = 8  # times less is deleted at a time
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


class Reserve:
    """The file `<database>.reserve`. `is_held`: it has all its bytes, or nothing here can keep any.

    `wal_pages`: how many the WAL may have before it is folded into the file, so that there is room for all of them.
    """

    def __init__(self, path: Path, *, wanted: bool = True) -> None:
        self._path = path
        self._file = path.with_name(f"{path.name}.reserve")
        disk = os.statvfs(path.parent)
        self._bytes = min(MOST_BYTES, disk.f_blocks * disk.f_frsize // PART)
        self.wal_pages = min(CHECKPOINT_PAGES, self._bytes // WAL_PART // PAGE_BYTES) or CHECKPOINT_PAGES
        self._is_wanted = wanted
        self.is_held = not wanted

    def take(self) -> None:
        """Keep all of the room, or raise DiskFull: a disk that has less is left to those who are on it."""
        if self.is_held:
            return
        if self._free_bytes() < self._bytes - self._kept_bytes():
            raise self._too_little()
        self._keep(self._bytes)
        self.is_held = True

    def take_some(self) -> None:
        """Keep all of the room, or half of what there is: a start on a disk that is full by then needs some."""
        try:
            self.take()
        except DiskFull:
            with contextlib.suppress(DiskFull):
                self._keep(self._kept_bytes() + self._free_bytes() // 2)

    def let_go(self) -> None:
        """Give the room to whoever writes next."""
        self._file.unlink(missing_ok=True)
        self.is_held = not self._is_wanted

    def deleting(self, delete: Callable[[int], int], limit: int, fold: Callable[[], None]) -> int:
        """What `delete` gives for `limit`; on a full disk the reserve goes, the WAL is folded, and less is deleted."""
        has_gone = False
        while True:
            try:
                return delete(limit)
            except DiskFull:
                if has_gone and limit == 1:
                    raise
            has_gone, limit = True, max(1, limit // LESS)
            self.let_go()
            with contextlib.suppress(DiskFull):  # there is no room for that either; less may do
                fold()

    def _keep(self, size: int) -> None:
        if self._file.is_symlink():  # it keeps no room; what it leads to is somebody's
            with contextlib.suppress(OSError):
                self._file.unlink()
        try:
            file = open_beside(self._file)
            try:
                os.posix_fallocate(file, 0, size)
            finally:
                os.close(file)
        except AttributeError:  # macOS has no such call
            self._file.unlink()
        except OSError as error:
            if error.errno in NO_ROOM:
                raise (self._too_little() if self._file.exists() else full(self._path)) from None

    def _free_bytes(self) -> int:
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:  # the directory has gone
            return 0
        return disk.f_bavail * disk.f_frsize

    def _kept_bytes(self) -> int:
        try:
            return self._file.stat().st_blocks * 512
        except OSError:
            return 0

    def _too_little(self) -> DiskFull:
        detail = f"{self._bytes / 2**20:.0f} MB are kept for deletions, and fewer are free"
        return DiskFull(f"no room left for {self._path}: {detail}", retry_after=5)


def with_room(path: Path, function: Callable[[], T]) -> T:
    """What the function gives. Where the disk is too full for it, the reserve goes first."""
    try:
        return function()
    except DiskFull:
        Reserve(path).let_go()
        return function()
