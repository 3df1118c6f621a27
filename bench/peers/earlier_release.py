"""The earlier release, TraceHub 0.1.0: its source distribution, one line repaired, in an environment of its own.

Its `server.py` names a global after using it, which Python refuses to compile; the line is moved to the top of its
function. The archive is used only if it is the very one that was read when this was written. What cannot be had is said
and left out.
"""

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

from service import CACHE

SHA256 = "1838ec6816ac0a552a0ddc72677c41079473cf3302d11c8a2a6a1c47de99fa8e"
FOLDER = CACHE / "tracehub-0.1.0"
PYTHON = FOLDER / "venv" / "bin" / "python"
SERVER = FOLDER / "server.py"
CLIENT = FOLDER / "client.py"
NEEDS = ("fastapi", "uvicorn", "aiosqlite", "pydantic")
_LINE = "    global TRACEHUB_DB\n"
_HEAD = "def main():\n"


class Absent(Exception):
    """It cannot be had here; the message says why."""


def prepare() -> None:
    """Fetch it, the first time; raises Absent."""
    if not (FOLDER / "ready").exists():
        try:
            _prepare()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Absent(str(error)) from None


def command(port: int, db: Path) -> list[str]:
    """How to start it, once it is prepared."""
    return [str(PYTHON), str(SERVER), "--host", "127.0.0.1", "--port", str(port), "--db", str(db)]


def _prepare() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(FOLDER / "venv")])
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "-q"]
    _run([*pip, "download", "--no-binary", "tracehub", "--no-deps", "tracehub==0.1.0", "-d", str(FOLDER)])
    archive = FOLDER / "tracehub-0.1.0.tar.gz"
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise Absent("the archive is not the one that is known")
    SERVER.write_text(_repaired(_member(archive, "server.py")))
    CLIENT.write_text(_member(archive, "client.py"))
    _run([*pip, "install", *NEEDS])
    (FOLDER / "ready").touch()


def _member(archive: Path, name: str) -> str:
    with tarfile.open(archive) as opened:
        member = opened.extractfile(f"tracehub-0.1.0/{name}")
        assert member is not None
        return member.read().decode().replace("\r\n", "\n")


def _repaired(source: str) -> str:
    head, main, rest = source.partition(_HEAD)
    return head + main + _LINE + rest.replace(_LINE, "", 1)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise Absent(f"{' '.join(command[1:5])} ...: {done.stderr.strip()[-300:]}")
