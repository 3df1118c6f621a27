"""The address that a service listens on, what to do when it cannot, and what with too many connections."""

import contextlib
import errno
import os
import resource
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

from shared.env import SettingError, Settings, variable
from shared.errors import Taken

BACKLOG: Final = 1024  # connections that wait to be accepted
NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
OWN_FILES: Final = 32  # of those that the process may open: for the database, its writer, what it imports late


class Listening(socket.socket):
    """Hangs up on whoever would take of the process's OWN_FILES; numbers of files are given from below.

    With no file left at all asyncio tries to accept for ever, and logs a thousand failures at a time.
    """

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(fileno=listening.detach())
        may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = (sys.maxsize if may_open == resource.RLIM_INFINITY else may_open) - OWN_FILES

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, or raise what says that there is none."""
        connection, address = super().accept()
        if connection.fileno() >= self._most:
            connection.close()
            raise ConnectionAbortedError
        return connection, address


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
    except UnicodeError:  # the codec for names finds a part of it empty or too long
        raise SettingError(f"TRACEHUB_HOST={host!r}: not a valid host name") from None


def listening(settings: Settings, port_field: str) -> Iterator[Listening]:
    """Sockets that listen, one for each address that the host stands for and that is here.

    Raises SettingError, also where none is, or Taken.
    """
    with explained(settings, port_field):
        for each in _bound(settings.host, getattr(settings, port_field)):
            each.listen(BACKLOG)
            yield Listening(each)


def refuse_taken(settings: Settings, port_field: str) -> None:
    """Raise what would keep a service from listening: SettingError or Taken. Nobody who connects is let in."""
    with explained(settings, port_field):
        for each in _bound(settings.host, getattr(settings, port_field)):
            each.close()


def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """Sockets with the addresses that are here; raises OSError where another program listens, and where none is."""
    is_here, absent = False, None
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
        try:
            bound = _bound_to(family, address[:2])
        except OSError as error:  # ::1 of localhost, where IPv6 is switched off
            if error.errno not in NOT_HERE:
                raise
            absent = error
        else:
            is_here = True
            yield bound
    if absent and not is_here:
        raise absent


def _bound_to(family: int, address: Any) -> socket.socket:
    with contextlib.ExitStack() as unless_bound:
        made = unless_bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # each family has a socket of its own
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        unless_bound.pop_all()
    return made
