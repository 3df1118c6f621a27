"""Settings: environment and flags in, one frozen struct out, every value checked before anything starts."""

import argparse
import contextlib
import importlib.metadata
import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec import Meta

from shared.errors import TraceHubError
from shared.log import printable
from shared.misspelt import PREFIX, misspelt

PortNumber = Annotated[int, Meta(ge=0, le=65535, description="a port from 0 (any free one) to 65535")]
Host = Annotated[
    str,
    Meta(
        pattern=r"^([\w.-]+|(?=.*:.*:)[0-9A-Fa-f:.]+(%\S+)?)$",
        description="a name or an address, without scheme, brackets and port",
    ),
]
Hours = Annotated[float, Meta(gt=0, le=1_000_000, description="a number of hours above 0, up to 1,000,000")]
Megabytes = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number of megabytes from 1 to 1,000,000")]
Size = Annotated[
    int,
    Meta(ge=0, le=100_000_000, description="a whole number of megabytes up to 100,000,000, or 0 for no limit"),
]
Count = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1,000,000")]
Levels = Annotated[int, Meta(ge=1, le=500, description="a whole number of levels from 1 to 500")]
Seconds = Annotated[float, Meta(gt=0, le=86_400, description="a number of seconds above 0, up to 86,400")]
PublicUrl = Annotated[
    str, Meta(pattern=r"^$|^https?://[^\s/?#]+(/[^\s?#]*)?$", description="an http:// or https:// address")
]
Rate = Annotated[float, Meta(ge=0, le=1_000_000, description="a number a second up to 1,000,000, 0 for no limit")]
HostList = Annotated[
    str,
    Meta(
        pattern=r"^(\s*(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_.-]+|[0-9A-Fa-f:]+)?\s*(,|$))*$",
        description="host names with commas in between, without scheme and port",
    ),
]
Flag = Annotated[str, Meta(pattern="^[01]?$", description="1, 0 or empty")]
Text = Annotated[str, Meta(description="text")]
Utf8 = Annotated[str, Meta(pattern="^[^\ud800-\udfff]*$", description="text that is UTF-8")]

VERSION: Final = importlib.metadata.version("tracehub-server")
PROGRAM: Final = "tracehub"  # by what name errors of what is no service begin
BAD_SETTING: Final = 2  # exit code
SHOWN: Final = 200  # characters of a bad value
VOLATILE: Final = ("/tmp", "/var/tmp", "/dev/shm")

_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_NO_HEADER: Final = re.compile(r"[\0-\x08\n-\x1f\x7f\ud800-\udfff]")


class SettingError(ValueError):
    """A setting that cannot be used; `str()` is the one line to show."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of both services. `TRACEHUB_` and the name in capitals is its variable."""

    db: Utf8 = "/tmp/tracehub.db"
    host: Host = "127.0.0.1"
    port: PortNumber = 8099  # ingest
    query_port: PortNumber = 8100
    retention_hours: Hours = 24.0  # since arrival, not by the sender's clock
    max_db_mb: Size = 0  # of the database file; 0: no limit
    ingest_url: PublicUrl = ""  # public addresses for redirects, where a proxy or a port mapping stands in between
    query_url: PublicUrl = ""
    secret: Text = ""  # senders and admin calls; several, comma-separated, for rotation
    query_secret: Text = ""  # readers
    allowed_hosts: HostList = ""  # more names that a service on a loopback address answers to
    trusted_proxies: Text = ""  # addresses and networks whose X-Forwarded-For and -Proto are believed
    query_rate: Rate = 1_000.0  # calls a second of one reader, ten seconds' worth at once; 0: no limit
    ingest_rate: Rate = 0.0  # entries a second of one sender, in the same way
    max_streams: Count = 10_000  # and waiting requests, open at a time
    max_client_streams: Count = 5_000  # the same of one client
    queue_mb: Megabytes = 64  # bodies in flight, counted from their first byte; full: 503
    max_body_mb: Megabytes = 16  # one body, before and after decompression; larger: 413
    max_entries: Count = 10_000  # in one batch; more: 413
    max_depth: Levels = 64  # of nesting in `data`; deeper: 400
    body_timeout_s: Seconds = 30.0  # that a sender may take for one body; longer: 408
    insecure: Flag = ""  # 1: allow a service on a public address without its secret

    @property
    def path(self) -> Path:
        """The database file itself, whatever links lead to it: its companions and its lock lie beside it."""
        return Path(os.path.realpath(self.db))  # as `resolve`, which raises for links that lead to each other

    @property
    def retention_ms(self) -> float:
        """Milliseconds from an entry's arrival to its end."""
        return self.retention_hours * 3_600_000

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets of senders, none when the port is open."""
        return _several(self.secret)

    @property
    def query_secrets(self) -> tuple[str, ...]:
        """The secrets of readers, none when the port is open."""
        return _several(self.query_secret)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of `allowed_hosts` in small letters, IPv6 addresses without brackets."""
        return tuple(host.strip("[]").lower().removesuffix(".") for host in _several(self.allowed_hosts))

    @property
    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of `trusted_proxies`; raises ValueError."""
        return tuple(ipaddress.ip_network(part, strict=False) for part in _several(self.trusted_proxies))


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def ignored_settings(environ: Mapping[str, str]) -> list[str]:
    """A line for each variable that may have been meant as a setting."""
    names = {variable(field) for field in Settings.__struct_fields__}
    files = {f"{name}_FILE" for name in names if name.endswith("SECRET")}
    return [*misspelt(environ, frozenset(names | files))]


def read_settings(environ: Mapping[str, str], flags: Mapping[str, str | None]) -> Settings:
    """Settings from `TRACEHUB_*` variables, overridden by flags that are not None; raises SettingError.

    `TRACEHUB_SECRET_FILE` and `TRACEHUB_QUERY_SECRET_FILE` name files to read the secrets from.
    """
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        flag = flags.get(field.name)
        text = flag if flag is not None else environ.get(variable(field.name))
        if field.name.endswith("secret"):
            text = _secret(variable(field.name), environ)
        if text is not None and text.strip():
            name = variable(field.name) if flag is None else f"--{'port' if field.name == 'query_port' else field.name}"
            values[field.name] = _convert(name, text.strip(), field.type)
    return _checked(Settings(**values))


def start_settings(program: str, purpose: str, port_field: str, secret_field: str) -> Settings:
    """What this process was started with: `os.environ` and `sys.argv`. Ends the process on a bad value."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=purpose, allow_abbrev=False)
    default = getattr(Settings(), port_field)
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (TRACEHUB_HOST, 127.0.0.1)")
    parser.add_argument(
        "--port", metavar="PORT", dest=port_field, help=f"port to listen on ({variable(port_field)}, {default})"
    )
    parser.add_argument("--db", metavar="FILE", help="database file (TRACEHUB_DB, /tmp/tracehub.db)")
    parser.add_argument("--version", action="version", version=f"tracehub-server {VERSION}")
    flags = vars(parser.parse_args())
    for line in ignored_settings(os.environ):
        print(f"{program}: {printable(line)}", file=sys.stderr)
    with failing_in_one_line(program):
        settings = read_settings(os.environ, flags)
        refuse_open_address(settings, secret_field)
    return settings


def refuse_open_address(settings: Settings, secret_field: str) -> None:
    """A service that everybody on the network could use does not start by accident."""
    if not getattr(settings, f"{secret_field}s") and not is_loopback(settings.host) and settings.insecure != "1":
        raise SettingError(
            f"{settings.host} is reachable from other machines and {variable(secret_field)} is empty: "
            "set it, or TRACEHUB_INSECURE=1 to do without"
        )


@contextlib.contextmanager
def failing_in_one_line(program: str) -> Iterator[None]:
    """Run the block; a bad setting ends the process with 2, and what else is foreseen with 1."""
    try:
        yield
    except SettingError as error:
        give_up(program, str(error), BAD_SETTING)
    except (TraceHubError, OSError) as error:
        give_up(program, str(error), 1)


def give_up(program: str, reason: str, code: int) -> NoReturn:
    """End the process with one line that says why."""
    print(f"{program}: {printable(reason)}", file=sys.stderr)
    sys.exit(code)


def _checked(settings: Settings) -> Settings:
    if not settings.path.name:
        raise SettingError(f"{variable('db')}={settings.db!r}: expected a file, and this is the root directory")
    try:
        _ = settings.proxies
    except ValueError:
        name, text = variable("trusted_proxies"), settings.trusted_proxies
        raise SettingError(f"{name}={text!r}: expected addresses or networks with commas in between") from None
    return settings


def _convert(name: str, text: str, type: Any) -> Any:
    kind = type.__origin__
    try:
        given = text if kind is str else kind(text) if _NUMBER.fullmatch(text) else None
        return msgspec.convert(given, type)
    except (msgspec.ValidationError, ValueError):
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        raise SettingError(f"{name}={shown!r}: expected {type.__metadata__[-1].description}") from None


def _secret(name: str, environ: Mapping[str, str]) -> str | None:
    text, file = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()
    if text and file:
        raise SettingError(f"{name} and {name}_FILE are both set: keep one")
    if file:
        try:
            text = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{name}_FILE={file!r}: {error}") from None
    if (text or file) and not _several(text):  # would leave the port open
        given = f"{name}_FILE={file!r}" if file else f"{name}={text!r}"
        raise SettingError(f"{given}: expected a secret, or several with commas in between")
    if _NO_HEADER.search(text):  # would let nobody in
        given = f"{name}_FILE={file!r}" if file else name
        raise SettingError(
            f"{given}: no header carries a line break, a control character or what is not UTF-8; "
            "several secrets have commas in between"
        )
    return text


def _several(text: str) -> tuple[str, ...]:
    return tuple(secret for part in text.split(",") if (secret := part.strip()))


def volatile_folder(path: Path) -> str | None:
    """The folder above a file that a restart of the machine may empty; None where there is none."""
    return next((folder for folder in VOLATILE if path.is_relative_to(os.path.realpath(folder))), None)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
