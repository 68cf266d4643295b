"""The proxy of the other tests does what its methods say."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.cluster.proxy import Proxy, close


class Echo:
    """A server that answers with what it is sent, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        while data := client.recv(1000):
            self.heard += data
            client.sendall(data)
        client.close()

    def close(self) -> None:
        close(self._listener)


@pytest.fixture
def server() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(server: Echo) -> Iterator[Proxy]:
    made = Proxy("127.0.0.1", server.port)
    yield made
    made.cut()


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def test_a_black_hole_accepts_and_never_answers_until_it_is_healed(proxy: Proxy, server: Echo) -> None:
    with connected(proxy) as before:
        before.sendall(b"a")
        assert before.recv(1) == b"a"
        proxy.black_hole()
        with connected(proxy) as during:
            for one in (before, during):
                one.settimeout(0.2)
                one.sendall(b"b")
                with pytest.raises(TimeoutError):
                    one.recv(1)
            assert server.heard == b"a"
            proxy.restore()
            for one in (before, during):
                one.settimeout(5)
                assert one.recv(1) == b"b"


def test_what_was_held_back_is_gone_after_a_cut(proxy: Proxy, server: Echo) -> None:
    with connected(proxy) as client:
        client.sendall(b"a")
        client.recv(1)
        proxy.black_hole()
        client.sendall(b"b")
        proxy.cut()
        assert client.recv(1) == b""
    proxy.restore()
    with connected(proxy) as client:
        client.sendall(b"c")
        assert client.recv(1) == b"c"
    assert server.heard == b"ac"


def test_a_delay_is_that_of_each_round_trip(proxy: Proxy) -> None:
    proxy.delay(0.1)
    with connected(proxy) as client:
        began = time.monotonic()
        for _ in range(3):
            client.sendall(b"a")
            assert client.recv(1) == b"a"
        assert time.monotonic() - began >= 0.3
