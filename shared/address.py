"""The address that a service listens on, and what to do when it cannot."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

from shared.env import SettingError, Settings, variable
from shared.errors import Taken


@contextlib.contextmanager
def explained(settings: Settings, port_field: str) -> Iterator[None]:
    """Turn what the system says of an address that it refuses into what to do about it: SettingError or Taken."""
    host, port = settings.host, getattr(settings, port_field)
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = f"stop what listens there, or set {variable(port_field)}"
            raise Taken(f"port {port} on {host} is taken: {remedy}") from None
        if error.errno == errno.EACCES:
            raise SettingError(
                f"{variable(port_field)}={port}: this user may not listen on it, take 1024 or more"
            ) from None
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise SettingError(f"TRACEHUB_HOST={host!r}: no address of this machine ({reason})") from None


def refuse_taken(settings: Settings, port_field: str) -> None:
    """Raise what would keep a service from listening: SettingError or Taken."""
    with explained(settings, port_field):
        port = getattr(settings, port_field)
        found = socket.getaddrinfo(settings.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in found:
            socket.create_server(address[:2], family=family).close()
