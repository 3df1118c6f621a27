"""Where a service listens: at each address that the name stands for here."""

import socket
from typing import Any

import pytest

from shared.address import listening
from shared.env import SettingError, Settings

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
