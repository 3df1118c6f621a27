"""What cannot be sent waits on disk: `<directory>/<owner>/<time>-<count>.json`, a batch each, one entry a line.

The owner holds a lock on `<directory>/<owner>.lock` as long as it lives; whoever finds the lock free takes its files
over. A file is complete or not there, and removed only once its entries are stored: after a crash some may be sent
twice, which the server notices.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
except ImportError:  # pragma: no cover  # no locks on this system: files wait for their owner's name to come again
    fcntl = None  # type: ignore[assignment]

KEEP_S = 24 * 3600.0  # the server's own default for how long it keeps entries
ADOPT_EVERY_S = 60.0

_BATCH = re.compile(r"[0-9]{20}-[0-9]+")  # its name; other files are not ours, and stay where they are


def make_private(folder: Path) -> None:
    """Make a directory, and what is missing on the way to it, for this user alone."""
    for place in (*reversed(folder.parents), folder):
        place.mkdir(mode=0o700, exist_ok=True)


class Stored(NamedTuple):
    """One batch on disk."""

    path: Path
    texts: list[str]


class Spool:
    """The files of one owner, at most `max_bytes` of them: full, the oldest go. Raises OSError where the disk does."""

    def __init__(self, directory: str, owner: str, max_bytes: int) -> None:
        self._root = Path(directory).absolute()  # the host may go to another one
        self._own = self._root / owner
        self._max_bytes = max_bytes
        self._lock: int | None = None
        self._files: dict[Path, int] = {}  # name -> bytes, oldest first
        self._adopt_at = 0.0

    @property
    def entries(self) -> int:
        """Entries on disk that are this owner's."""
        return sum(map(_count, self._files))

    def write(self, texts: list[str]) -> Path:
        """Keep a batch. It is on disk when this returns."""
        self._claim()
        path = self._own / f"{time.time_ns():020d}-{len(texts)}.json"
        self._files[path] = _put(path, texts)
        return path

    def trim(self, now_s: float) -> int:
        """Drop the oldest files where there is no room, and those that are too old; how many entries that were."""
        dropped = 0
        while self._files:
            oldest = next(iter(self._files))
            if sum(self._files.values()) <= self._max_bytes and _written_s(oldest) > now_s - KEEP_S:
                break
            dropped += self.remove(oldest)
        return dropped

    def oldest(self) -> Stored | None:
        """The batch to send first."""
        path = next(iter(self._files), None)
        if path is None:
            return None
        try:
            content = path.read_text("utf-8")
            return Stored(path, content.split("\n") if content else [])
        except (FileNotFoundError, UnicodeDecodeError):
            return Stored(path, [])

    def replace(self, path: Path, texts: list[str]) -> None:
        """What is left of a batch."""
        left = path.with_name(f"{path.stem.split('-')[0]}-{len(texts)}.json")
        rest = {name: size for name, size in self._files.items() if name != path}
        self._files = {left: _put(left, texts), **rest}
        if left != path:
            _unlink(path)

    def remove(self, path: Path) -> int:
        """Forget a batch; how many entries it had."""
        self._files.pop(path, None)
        _unlink(path)
        return _count(path)

    def adopt(self, now_s: float) -> int:
        """Take over what dead owners left, once a minute; how many entries that were."""
        if fcntl is None or now_s < self._adopt_at or not self._root.is_dir():
            return 0
        self._adopt_at = now_s + ADOPT_EVERY_S
        before = self.entries
        for lock in self._root.glob("*.lock"):
            if lock.stem != self._own.name:
                self._take_over(lock)
        self._files = dict(sorted(self._files.items()))
        return self.entries - before

    def let_go(self) -> None:
        """In a forked child, and at the end: the lock is given back, without files there is nothing left behind."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def close(self) -> None:
        if self._lock is not None and not self._files:
            _unlink(self._lock_file)
            with suppress(OSError):
                self._own.rmdir()
        self.let_go()

    @property
    def _lock_file(self) -> Path:
        return self._root / f"{self._own.name}.lock"

    def _claim(self) -> None:
        make_private(self._own)
        if fcntl is None or (self._lock is not None and self._lock_file.exists()):
            return
        self.let_go()
        fresh = self._root / f".{self._own.name}"
        self._lock = os.open(fresh, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(self._lock_file)  # locked before anyone can find it

    def _take_over(self, lock: Path) -> None:
        try:
            handle = os.open(lock, os.O_RDWR)
        except OSError:
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            theirs = self._root / lock.stem
            self._claim()
            for path in sorted(theirs.glob("*.json")):
                if _BATCH.fullmatch(path.stem):
                    mine = self._own / path.name
                    path.rename(mine)
                    self._files[mine] = mine.stat().st_size
            for half in theirs.glob("*.part"):
                half.unlink()
            theirs.rmdir()
            lock.unlink()
        except OSError:
            return  # its owner lives, or another process was faster
        finally:
            os.close(handle)


def _put(path: Path, texts: list[str]) -> int:
    content = "\n".join(texts).encode()
    half = path.with_suffix(".part")
    handle = os.open(half, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        half.replace(path)
    except OSError:
        _unlink(half)
        raise
    return len(content)


def _unlink(path: Path) -> None:
    """What the disk does not let go stays for the next owner, who sends it again."""
    with suppress(OSError):
        path.unlink()


def _count(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _written_s(path: Path) -> float:
    return int(path.stem.partition("-")[0]) / 1e9
