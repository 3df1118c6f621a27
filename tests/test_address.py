"""Where a service listens: at each address that the name stands for here."""

import errno
import socket
import sys
from types import FrameType
from typing import Any

import pytest
from conftest import free_port

from shared.address import listening, refuse_taken
from shared.env import SettingError, Settings
from shared.errors import Taken

ELSEWHERE = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
HERE = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))


def addresses(monkeypatch: pytest.MonkeyPatch, *found: Any) -> list[str]:
    """Where a service listens whose host stands for these addresses."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sockets = list(listening(Settings(host="localhost", port=0), "port"))
    told = [each.getsockname()[0] for each in sockets]
    for each in sockets:
        each.close()
    return told


@pytest.mark.parametrize("found", [(HERE, ELSEWHERE), (ELSEWHERE, HERE)])
def test_an_address_that_is_not_here_is_left_out(monkeypatch: pytest.MonkeyPatch, found: tuple[Any, ...]) -> None:
    """As ::1 is, for which localhost stands as well, where IPv6 is switched off."""
    assert addresses(monkeypatch, *found) == ["127.0.0.1"]


def test_one_of_them_has_to_be_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that listens nowhere does not start."""
    with pytest.raises(SettingError, match="TRACEHUB_HOST='localhost': no address of this machine"):
        addresses(monkeypatch, ELSEWHERE, ELSEWHERE)


def test_a_look_at_a_port_lets_nobody_in() -> None:
    """Whoever connects while a service makes sure of its port is refused, not let in and cut off a moment later."""
    settings = Settings(port=free_port())
    told: list[int] = []

    def connect(_: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ == "close":
            with socket.socket() as client:
                told.append(client.connect_ex(("127.0.0.1", settings.port)))

    sys.setprofile(connect)
    try:
        refuse_taken(settings, "port")
    finally:
        sys.setprofile(None)
    assert told == [errno.ECONNREFUSED]


def test_a_port_that_is_taken_is_refused() -> None:
    """Where another program listens a service says so, and does not begin."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(Taken, match="is taken"):
        refuse_taken(Settings(port=other.getsockname()[1]), "port")
