"""A misspelt setting is named at the start, with the one that was probably meant."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Services

from shared.env import Settings, ignored_settings, variable
from shared.misspelt import ELSEWHERE

ROOT = Path(__file__).parent.parent
LINE = "TRACEHUB_RETENTION_HOUR is no setting and is ignored: TRACEHUB_RETENTION_HOURS was probably meant"


@pytest.mark.parametrize("name", ["ingest_svc", "query_svc"])
def test_each_service_names_it_and_starts(services: Services, name: str) -> None:
    """In one line, without its value."""
    services.environ["TRACEHUB_RETENTION_HOUR"] = "48 secret"
    services.start(name)
    log = services.log(name)
    assert log.splitlines()[0] == f"{name}: {LINE}"
    assert "48 secret" not in log


def test_the_doctor_names_it(tmp_path: Path) -> None:
    """As a warning, which is no problem."""
    command = [sys.executable, "-m", "tracehub_server.doctor"]
    environ = {**os.environ, "TRACEHUB_DB": str(tmp_path / "tracehub.db"), "TRACEHUB_RETENTION_HOUR": "48"}
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
    assert f'"warning","name":"settings","detail":"{LINE}"' in told


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TRACEHUB_MAX_DB", "TRACEHUB_MAX_DB_MB"),
        ("TRACEHUB_QUERYPORT", "TRACEHUB_QUERY_PORT"),
        ("TRACEHUB_SECRETS_FILE", "TRACEHUB_SECRET_FILE"),
        ("TRACEHUB_FLUSH_INTERVAL_S", "TRACEHUB_FLUSH_INTERVAL"),
        ("TRACEHUB_ZZZ", None),
    ],
)
def test_what_was_probably_meant(name: str, meant: str | None) -> None:
    """The nearest name, or none where none is near."""
    (line,) = ignored_settings({name: "1"})
    assert line == f"{name} is no setting and is ignored" + (f": {meant} was probably meant" if meant else "")


@pytest.mark.parametrize("name", ["PATH", "TRACEHUB_SERVICE_PORT", "TRACEHUB_PORT_8099_TCP_ADDR", "_TRACEHUB_COMPLETE"])
def test_what_others_mean_is_not_misspelt(name: str) -> None:
    """Kubernetes, shells and everybody else have names of their own."""
    assert ignored_settings({name: "1"}) == []


def test_what_is_empty_is_not_set() -> None:
    """A name without a value sets nothing."""
    assert ignored_settings({"TRACEHUB_RETENTION_HOUR": " "}) == []


def test_every_name_that_is_read_is_known() -> None:
    """Whatever code, deployment and Makefile name is a setting of the services or on the list, which has no other."""
    files = [ROOT / "Makefile", *(ROOT / "deploy").rglob("*.*")]
    for package in ("client/src", "ingest_svc", "query_svc", "shared"):
        files += (ROOT / package).rglob("*.py")
    texts = [path.read_text() for path in files if path.suffix != ".pyc" and path.name != "misspelt.py"]
    named = {name for text in texts for name in re.findall(r"TRACEHUB_[A-Z_]*[A-Z]", text)}
    settings = {variable(field) for field in Settings.__struct_fields__}
    assert named - settings - {"TRACEHUB_SECRET_FILE", "TRACEHUB_QUERY_SECRET_FILE"} == ELSEWHERE
    assert ignored_settings(dict.fromkeys(named, "1")) == []
