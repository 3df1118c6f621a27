"""Settings: what is read from where, and the one line that a bad value gives."""

import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from patience import PATIENCE_S

from shared import env
from shared.env import VERSION, SettingError, Settings, read_settings, refuse_open_address

SERVICES = ["ingest_svc", "query_svc"]


def start(service: str, *flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a service that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", service, *flags],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_defaults_are_the_published_ones() -> None:
    """Without any variable the settings are those of the contract."""
    assert read_settings({}, {}) == Settings()
    assert (Settings().db, Settings().host) == ("/tmp/tracehub.db", "127.0.0.1")
    assert (Settings().port, Settings().query_port) == (8099, 8100)
    assert (Settings().retention_hours, Settings().queue_mb, Settings().max_body_mb) == (24, 64, 16)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("TRACEHUB_DB", "/var/lib/tracehub/a b.db", "db", "/var/lib/tracehub/a b.db"),
        ("TRACEHUB_HOST", "::1", "host", "::1"),
        ("TRACEHUB_HOST", "fe80::1%eth0", "host", "fe80::1%eth0"),
        ("TRACEHUB_HOST", "traces.example", "host", "traces.example"),
        ("TRACEHUB_PORT", " 9000 ", "port", 9000),
        ("TRACEHUB_PORT", "08099", "port", 8099),
        ("TRACEHUB_QUERY_PORT", "0", "query_port", 0),
        ("TRACEHUB_RETENTION_HOURS", "0.5", "retention_hours", 0.5),
        ("TRACEHUB_MAX_DB_MB", "500", "max_db_mb", 500),
        ("TRACEHUB_INGEST_URL", "https://traces.example/in/", "ingest_url", "https://traces.example/in/"),
        ("TRACEHUB_QUERY_URL", "http://[::1]:8100", "query_url", "http://[::1]:8100"),
        ("TRACEHUB_SECRET", "s", "secrets", ("s",)),
        ("TRACEHUB_QUERY_SECRET", " old , new ,", "query_secrets", ("old", "new")),
        ("TRACEHUB_ALLOWED_HOSTS", "A.example., b,[::1],fd00::1,", "hosts", ("a.example", "b", "::1", "fd00::1")),
        ("TRACEHUB_TRUSTED_PROXIES", "10.1.2.3/8 ,::1", "proxies", (ip_network("10.0.0.0/8"), ip_network("::1"))),
        ("TRACEHUB_QUERY_RATE", "0", "query_rate", 0),
        ("TRACEHUB_INGEST_RATE", "2.5", "ingest_rate", 2.5),
        ("TRACEHUB_MAX_STREAMS", "7", "max_streams", 7),
        ("TRACEHUB_MAX_CLIENT_STREAMS", "5", "max_client_streams", 5),
        ("TRACEHUB_QUEUE_MB", "128", "queue_mb", 128),
        ("TRACEHUB_MAX_BODY_MB", "1", "max_body_mb", 1),
        ("TRACEHUB_MAX_ENTRIES", "500", "max_entries", 500),
        ("TRACEHUB_MAX_DEPTH", "10", "max_depth", 10),
        ("TRACEHUB_BODY_TIMEOUT_S", "2.5", "body_timeout_s", 2.5),
        ("TRACEHUB_INSECURE", "1", "insecure", "1"),
    ],
)
def test_each_variable_is_read(variable: str, text: str, field: str, value: Any) -> None:
    """Each variable of the contract changes its setting."""
    assert getattr(read_settings({variable: text}, {}), field) == value


@pytest.mark.parametrize("field", Settings.__struct_fields__)
def test_an_empty_variable_is_an_absent_one(field: str) -> None:
    """A variable set to nothing leaves the default, as in an env file with the value left out."""
    assert read_settings({f"TRACEHUB_{field.upper()}": " "}, {}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TRACEHUB_DB", "/var/\udce9.db"),
        ("TRACEHUB_DB", "/"),
        ("TRACEHUB_DB", "/tmp/.."),
        ("TRACEHUB_HOST", "\udce9.example"),
        ("TRACEHUB_HOST", "http://localhost"),
        ("TRACEHUB_HOST", "localhost:8099"),
        ("TRACEHUB_HOST", "127.0.0.1:8099"),
        ("TRACEHUB_HOST", "[::1]"),
        ("TRACEHUB_HOST", "*"),
        ("TRACEHUB_PORT", "http"),
        ("TRACEHUB_PORT", "65536"),
        ("TRACEHUB_PORT", "-1"),
        ("TRACEHUB_PORT", "\udce9"),
        ("TRACEHUB_PORT", "\u0665"),
        ("TRACEHUB_PORT", "8099.0"),
        ("TRACEHUB_MAX_ENTRIES", "1e3"),
        ("TRACEHUB_MAX_ENTRIES", "1_000"),
        ("TRACEHUB_MAX_ENTRIES", "+5"),
        ("TRACEHUB_INGEST_RATE", "1e3"),
        ("TRACEHUB_INGEST_RATE", ".5"),
        ("TRACEHUB_INGEST_RATE", "\udce9"),
        ("TRACEHUB_QUERY_PORT", "81.5"),
        ("TRACEHUB_MAX_DB_MB", "-1"),
        ("TRACEHUB_RETENTION_HOURS", "0"),
        ("TRACEHUB_RETENTION_HOURS", "-1"),
        ("TRACEHUB_RETENTION_HOURS", "nan"),
        ("TRACEHUB_RETENTION_HOURS", "inf"),
        ("TRACEHUB_RETENTION_HOURS", "1 day"),
        ("TRACEHUB_QUEUE_MB", "0"),
        ("TRACEHUB_MAX_BODY_MB", "16M"),
        ("TRACEHUB_MAX_ENTRIES", "0"),
        ("TRACEHUB_MAX_DEPTH", "501"),
        ("TRACEHUB_BODY_TIMEOUT_S", "0"),
        ("TRACEHUB_INGEST_URL", "traces.example"),
        ("TRACEHUB_QUERY_URL", "ftp://traces.example"),
        ("TRACEHUB_QUERY_URL", "http://traces.example/\r\nX: y"),
        ("TRACEHUB_INSECURE", "yes"),
        ("TRACEHUB_SECRET", " , "),
        ("TRACEHUB_ALLOWED_HOSTS", "http://traces.example"),
        ("TRACEHUB_ALLOWED_HOSTS", "traces.example:8099"),
        ("TRACEHUB_ALLOWED_HOSTS", "*"),
        ("TRACEHUB_TRUSTED_PROXIES", "proxy.example"),
        ("TRACEHUB_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRACEHUB_QUERY_RATE", "-1"),
        ("TRACEHUB_INGEST_RATE", "nan"),
        ("TRACEHUB_MAX_STREAMS", "0"),
    ],
)
def test_a_bad_value_is_one_line(variable: str, text: str) -> None:
    """A value that cannot be used is refused with a line that names the variable and what it should be."""
    with pytest.raises(SettingError) as caught:
        read_settings({variable: text}, {})
    assert str(caught.value).startswith(f"{variable}={text.strip()!r}: expected ")
    assert "\n" not in str(caught.value)


def test_a_long_bad_value_is_cut() -> None:
    """The line stays one that can be read."""
    with pytest.raises(SettingError, match=r"^TRACEHUB_PORT='9{200}\.\.\.': expected a port") as caught:
        read_settings({"TRACEHUB_PORT": "9" * 5_000}, {})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("field", "most"),
    [(field.name, most) for field in msgspec.structs.fields(Settings) if (most := field.type.__metadata__[0].le)],
)
def test_a_number_that_is_too_large_is_told_the_most(field: str, most: int) -> None:
    """Whoever asks for more than there may be learns how much that is."""
    with pytest.raises(SettingError, match=rf"expected .*\b({most}|{most:,})\b"):
        read_settings({f"TRACEHUB_{field.upper()}": str(most + 1)}, {})


def test_flags_override_variables() -> None:
    """A flag wins over its variable, and a bad one is named as it was given."""
    environ = {"TRACEHUB_QUERY_PORT": "1", "TRACEHUB_DB": "/a"}
    settings = read_settings(environ, {"query_port": "2", "db": "/b", "host": None})
    assert (settings.query_port, settings.db, settings.host) == (2, "/b", "127.0.0.1")
    with pytest.raises(SettingError, match=r"^--port='x': expected a port"):
        read_settings(environ, {"query_port": "x"})


@pytest.mark.parametrize(
    ("variable", "field"), [("TRACEHUB_SECRET", "secrets"), ("TRACEHUB_QUERY_SECRET", "query_secrets")]
)
def test_secrets_come_from_files(tmp_path: Path, variable: str, field: str) -> None:
    """A secret may be in a file, several of them too, its last line break not being part of it."""
    file = tmp_path / "secret"
    file.write_text("first,second\n")
    assert getattr(read_settings({f"{variable}_FILE": str(file)}, {}), field) == ("first", "second")


def test_a_secret_file_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    """As it is to the client, or nobody could show that secret."""
    file = tmp_path / "secret"
    file.write_bytes("schlüssel\n".encode())
    read = "import os; from shared.env import read_settings; print(ascii(read_settings(os.environ, {}).secrets))"
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TRACEHUB_SECRET_FILE": str(file)}
    ended = subprocess.run([sys.executable, "-c", read], env=environ, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("('schl\\xfcssel',)\n", "")


def test_a_secret_file_that_holds_none_is_refused(tmp_path: Path) -> None:
    """A file that is missing, empty, not text or set beside the variable itself does not leave a port open."""
    file = tmp_path / "secret"
    environ = {"TRACEHUB_SECRET_FILE": str(file)}
    with pytest.raises(SettingError, match=r"TRACEHUB_SECRET_FILE=.*No such file"):
        read_settings(environ, {})
    for content in (b"", b"\n", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(SettingError, match=r"TRACEHUB_SECRET_FILE="):
            read_settings(environ, {})
    with pytest.raises(SettingError, match="are both set"):
        read_settings({**environ, "TRACEHUB_SECRET": "s"}, {})


@pytest.mark.parametrize("text", ["new\nold", "new,o\rld", "n\0ew", "\x7fnew"])
def test_a_secret_that_nobody_can_show_is_refused(tmp_path: Path, text: str) -> None:
    """No header carries a line break, such as between two secrets on lines of their own; the secret is not repeated."""
    file = tmp_path / "secret"
    file.write_bytes(text.encode())
    for environ in ({"TRACEHUB_SECRET": text}, {"TRACEHUB_SECRET_FILE": str(file)}):
        with pytest.raises(SettingError, match=r"^TRACEHUB_SECRET.*line break.* commas in between$") as caught:
            read_settings(environ, {})
        assert "new" not in str(caught.value).replace(str(file), "")


def test_a_secret_in_another_encoding_is_refused() -> None:
    """It would be compared with no other; the secret is not repeated."""
    with pytest.raises(SettingError, match=r"^TRACEHUB_QUERY_SECRET: .* UTF-8") as caught:
        read_settings({"TRACEHUB_QUERY_SECRET": "caf\udce9"}, {})
    assert "caf" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "tracehub.example"])
def test_an_open_address_needs_the_service_s_own_secret(host: str) -> None:
    """On an address that other machines reach, the other service's secret is not enough."""
    refuse_open_address(Settings(host=host, secret="s"), "secret")
    refuse_open_address(Settings(host=host, query_secret="s"), "query_secret")
    refuse_open_address(Settings(host=host, insecure="1"), "secret")
    with pytest.raises(SettingError, match="TRACEHUB_SECRET is empty"):
        refuse_open_address(Settings(host=host, query_secret="s"), "secret")
    with pytest.raises(SettingError, match="TRACEHUB_QUERY_SECRET is empty"):
        refuse_open_address(Settings(host=host, secret="s", insecure="0"), "query_secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost"])
def test_a_loopback_address_needs_none(host: str) -> None:
    """An address that only this machine reaches may go without a secret."""
    refuse_open_address(Settings(host=host), "secret")


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_ends_with_one_line_and_code_2(service: str) -> None:
    """A bad value ends the real process with one line on standard error and exit code 2."""
    ended = start(service, TRACEHUB_RETENTION_HOURS="soon")
    assert ended.returncode == 2
    assert (
        ended.stderr
        == f"{service}: TRACEHUB_RETENTION_HOURS='soon': expected a number of hours above 0, up to 1,000,000\n"
    )
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("service", "variable"), [("ingest_svc", "TRACEHUB_SECRET"), ("query_svc", "TRACEHUB_QUERY_SECRET")]
)
def test_a_process_refuses_an_open_address(service: str, variable: str) -> None:
    """The real process does not open a port to the network without its own secret."""
    other = "TRACEHUB_QUERY_SECRET" if variable == "TRACEHUB_SECRET" else "TRACEHUB_SECRET"
    ended = start(service, "--host", "0.0.0.0", **{other: "s"})
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert f"{variable} is empty" in ended.stderr


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("192.0.2.1", "no address of this machine"),
        ("traces..example", "not a valid host name"),
        ("x" * 64, "not a valid host name"),
    ],
)
def test_an_address_of_another_machine_is_a_bad_setting(service: str, host: str, why: str) -> None:
    """A host that is no address of this machine, or can be no name, is one line and exit code 2; no file is made."""
    ended = start(service, "--host", host, "--db", "/nowhere/t.db", TRACEHUB_INSECURE="1")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert f"TRACEHUB_HOST='{host}': {why}" in ended.stderr


def test_a_folder_that_a_restart_empties_is_known_by_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS /tmp is a link, and the path of the file has been followed."""
    link = tmp_path / "tmp"
    link.symlink_to(tmp_path / "private", target_is_directory=True)
    monkeypatch.setattr(env, "VOLATILE", (str(link),))
    assert env.volatile_folder(tmp_path / "private" / "tracehub.db") == str(link)
    assert env.volatile_folder(tmp_path / "tracehub.db") is None


def test_a_file_that_is_a_link_to_itself(tmp_path: Path) -> None:
    """Nothing can be opened there: one line says so."""
    link = tmp_path / "tracehub.db"
    link.symlink_to(link)
    ended = start("ingest_svc", "--port", "0", "--db", str(link))
    assert ended.returncode == 1
    assert f"cannot open {link}" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("program", [*SERVICES, "tracehub_server"])
def test_help_and_version(program: str) -> None:
    """Each program tells its version and its flags."""
    assert start(program, "--version").stdout == f"tracehub-server {VERSION}\n"
    assert f"usage: python -m {program}" in start(program, "--help").stdout
    assert start(program, "--prot", "1").returncode == 2


def test_the_example_names_every_setting_and_its_default() -> None:
    """What an operator copies is the truth."""
    example = (Path(__file__).parent.parent / "deploy/tracehub.env.example").read_text()
    named = dict(re.findall(r"^#(TRACEHUB_\w+)=(.*)$", example, re.MULTILINE))
    for field in Settings.__struct_fields__:
        text = named[f"TRACEHUB_{field.upper()}"]
        assert read_settings({f"TRACEHUB_{field.upper()}": text}, {}) == Settings(), field
        assert (text != "") == (getattr(Settings(), field) != ""), field


def test_compose_passes_on_what_can_be_set() -> None:
    """Each setting is told to the containers, but for where they listen and store, which the image says."""
    compose = (Path(__file__).parent.parent / "deploy/compose.yaml").read_text()
    passed_on = {name.lower() for name in re.findall(r"^    TRACEHUB_(\w+):", compose, re.MULTILINE)}
    assert passed_on == set(Settings.__struct_fields__) - {"db", "host", "port", "query_port", "insecure"}
