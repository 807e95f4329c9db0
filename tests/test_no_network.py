"""The tests themselves reach no network: conftest.py sees to it."""

import socket
import urllib.request

import pytest


def test_addresses_elsewhere_are_refused() -> None:
    with pytest.raises(AssertionError, match="reaches for the network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(AssertionError, match="reaches for the network"):
        urllib.request.urlopen("http://example.org", timeout=1)
    with socket.socket() as plain, pytest.raises(AssertionError, match="reaches for the network"):
        plain.connect_ex(("192.0.2.1", 80))


def test_this_machine_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
