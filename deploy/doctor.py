"""`python -m tracehub_server.doctor`: what is wrong with the database that TRACEHUB_DB names, and around it, as JSON.

It looks, and changes nothing.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from shared.env import (
    PROGRAM,
    VERSION,
    Settings,
    failing_in_one_line,
    ignored_settings,
    read_settings,
    volatile_folder,
)
from shared.errors import BadFile, TraceHubError
from shared.storage.checkup import check_up, library
from shared.storage.claim import holder
from shared.storage.sqlite import WAL_LIMIT, FileKind, file_sizes
from shared.telling import tell

NETWORK: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")
FEW_BYTES: Final = 1_000_000_000  # free space to warn below

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")  # of a blank in the path of a mount

Level = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct):
    """One thing that was looked at."""

    level: Level
    name: str
    detail: str
    remedy: str = ""


def findings(settings: Settings) -> list[Finding]:
    """Everything there is to say of the server's side."""
    path = settings.path
    found = [Finding("ok", "server", f"tracehub-server {VERSION}"), _library()]
    if _is_hidden(path):
        closed = f"this user may not look into {path.parent}"
        return [*found, Finding("problem", "directory", closed, "run as the server's user")]
    if not path.parent.is_dir():
        return [
            *found,
            Finding("problem", "database", f"the directory {path.parent} does not exist", "create it, mode 0700"),
        ]
    found += [*_directory(path), _space(path)]
    if path.is_symlink():
        problem = Finding("problem", "database", f"{path} is a link to itself", "remove it, or set TRACEHUB_DB")
        return [*found, problem]
    if not path.exists():
        return [
            *found,
            Finding("warning", "database", f"{path} does not exist yet", "the ingest service makes it: tracehub start"),
        ]
    return [*found, *_file(path), _content(path), _wal(path), _writer(path), *_intruders(path)]


def _is_hidden(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _library() -> Finding:
    version, is_affected = library()
    told = f"{version}, safe as there is one writing connection" if is_affected else version
    return Finding("ok", "sqlite", told)


def _directory(path: Path) -> Iterator[Finding]:
    if not os.access(path.parent, os.W_OK | os.X_OK):
        yield Finding("problem", "directory", f"this user may not write {path.parent}", "run as the server's user")
    if folder := volatile_folder(path):
        yield Finding(
            "warning",
            "directory",
            f"traces below {folder} may not survive a reboot",
            "set TRACEHUB_DB to a lasting path",
        )
    kind = _file_system(path.parent)
    if kind in NETWORK:
        yield Finding(
            "problem",
            "directory",
            f"{path.parent} is on a network ({kind}), which a WAL file does not survive",
            "use a local disk",
        )


def _file_system(folder: Path) -> str:
    """Its kind, empty where the system does not say."""
    mounts = [line.split(" ")[1:3] for line in _words(Path("/proc/self/mounts")).split("\n") if line]
    told = ((_ESCAPE.sub(lambda digits: chr(int(digits[1], 8)), at), kind) for at, kind in reversed(mounts))
    holding = [(at, kind) for at, kind in told if folder.is_relative_to(at)]  # one that hides another comes before it
    return max(holding, key=lambda mount: len(mount[0]))[1] if holding else ""


def _space(path: Path) -> Finding:
    usage = shutil.disk_usage(path.parent)
    size = path.stat().st_size if path.exists() else 0
    told = f"{_size(usage.free)} of {_size(usage.total)} free"
    if usage.free < min(10 * WAL_LIMIT // 4, usage.total // 4):
        return Finding("problem", "disk", told, "make room: without it the ingest port answers 507")
    if usage.free < max(FEW_BYTES, size):
        return Finding("warning", "disk", f"{told}, less than a snapshot or an upgrade may want", "make room")
    return Finding("ok", "disk", told)


def _file(path: Path) -> Iterator[Finding]:
    state = path.stat()
    held = f"{_size(state.st_size)} and {_size(file_sizes(path)[1])} in its WAL"
    told = f"{path}, {held}, mode {stat.S_IMODE(state.st_mode):04o}"
    if state.st_mode & 0o077:
        yield Finding("warning", "database", f"{told}: other users may use it", f"chmod 600 {path}")
    else:
        yield Finding("ok", "database", told)
    if os.geteuid() not in (0, state.st_uid):
        yield Finding(
            "problem", "database", f"it belongs to user {state.st_uid}, this is {os.geteuid()}", "run as its owner"
        )


def _content(path: Path) -> Finding:
    try:
        kind, faults, whole = check_up(path)
    except BadFile as error:
        return Finding("problem", "content", str(error))
    except TraceHubError as error:
        return Finding("warning", "content", str(error))
    if faults:
        return Finding("problem", "content", f"damaged: {'; '.join(faults)}", "restore a snapshot")
    if kind is FileKind.EARLIER:
        return Finding("warning", "content", "a file of TraceHub 0.1", "the ingest service upgrades it when it starts")
    return Finding("ok", "content", "no damage found" if whole else "no damage found in the part that was looked at")


def _wal(path: Path) -> Finding:
    _, size = file_sizes(path)
    told = _size(size)
    if size > 4 * WAL_LIMIT:
        return Finding("warning", "WAL", told, "some reader holds an old snapshot of the file: find and end it")
    return Finding("ok", "WAL", told)


def _size(number: int) -> str:
    if number >= 1e9:
        return f"{number / 1e9:,.1f} GB"
    return f"{number / 1e6:,.1f} MB" if number >= 1e6 else f"{number / 1e3:,.1f} kB"


def _writer(path: Path) -> Finding:
    try:
        found = holder(path)
    except BadFile as error:
        return Finding("warning", "writer", str(error), "run as the server's user")
    if found and found.why_not:
        return Finding("problem", "writer", f"the ingest service (pid {found.pid}) writes nothing: {found.why_not}")
    if found:
        return Finding("ok", "writer", f"the ingest service (pid {found.pid})")
    return Finding("warning", "writer", "no ingest service writes this file", "tracehub start")


def _intruders(path: Path) -> Iterator[Finding]:
    """Programs besides the ingest service that have the file open for writing; Linux tells those of this user."""
    try:
        found = holder(path)
    except BadFile:
        return
    known = {found and found.pid, str(os.getpid())}
    for process in Path("/proc").glob("[0-9]*"):
        if {process.name, _parent(process)} & known or not _writes(process, path):
            continue
        name = _words(process / "comm").strip()
        yield Finding(
            "problem",
            "writer",
            f"{name} (pid {process.name}) has {path} open for writing",
            "end it: only the ingest service may write",
        )


def _parent(process: Path) -> str:
    return (_words(process / "stat").rpartition(")")[2].split() or ["", ""])[1]


def _words(told: Path) -> str:
    """What the system says, empty where it does not; names in it may be no text."""
    try:
        return told.read_text("utf-8", "replace")
    except OSError:
        return ""


def _writes(process: Path, path: Path) -> bool:
    try:
        for link in (process / "fd").iterdir():
            if str(link.readlink()) == str(path):
                flags = next(
                    line
                    for line in (process / "fdinfo" / link.name).read_text().splitlines()
                    if line.startswith("flags:")
                )
                if int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                    return True
    except (OSError, StopIteration, ValueError):  # another user's, or just ended
        return False
    return False


def main() -> None:
    """Look, and print what was found as JSON."""
    with failing_in_one_line(PROGRAM):
        ignored = [Finding("warning", "settings", line) for line in ignored_settings(os.environ)]
        found = findings(read_settings(os.environ, {}))
    tell({"findings": ignored + found})


main()
