"""The proxy of the test kit: its faults reach both sides."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from paceline.testing.proxy import Proxy

from tests.support.eventually import eventually

HOST = "127.0.0.1"


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of an echo server."""

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as it:
        yield it


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=20)


def said(connection: socket.socket, words: bytes) -> bytes:
    """The answer to some bytes, complete or until the connection closes."""
    connection.sendall(words)
    heard = b""
    while len(heard) < len(words) and (more := connection.recv(65_536)):
        heard += more
    return heard


def test_the_proxy_forwards_data_and_closes(proxy: Proxy) -> None:
    words = bytes(range(256)) * 2000
    with connect(proxy) as one, connect(proxy) as two:
        assert said(one, words) == words
        assert said(two, b"two") == b"two"
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""
        assert said(two, b"still there") == b"still there"


def test_a_cut_resets_only_open_connections(proxy: Proxy) -> None:
    with connect(proxy) as one:
        assert said(one, b"a") == b"a"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            one.recv(1)
    with connect(proxy) as two:
        assert said(two, b"b") == b"b"
    assert proxy.cuts == 1


def test_a_proxy_that_is_down_refuses_connections_until_healed(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with connect(proxy) as one:
        assert said(one, b"a") == b"a"


def test_a_black_hole_holds_all_data_and_delivers_it_when_healed(proxy: Proxy) -> None:
    with connect(proxy) as one:
        proxy.black_hole()
        one.settimeout(0.2)
        with pytest.raises(TimeoutError):
            said(one, b"a")
        one.settimeout(20)
        proxy.heal()
        assert one.recv(1) == b"a"


def test_a_forgotten_connection_stays_silent_and_new_ones_work(proxy: Proxy) -> None:
    with connect(proxy) as one:
        assert said(one, b"a") == b"a"
        proxy.forget()
        one.settimeout(0.2)
        with pytest.raises(TimeoutError):
            said(one, b"b")
        with connect(proxy) as two:
            assert said(two, b"c") == b"c"
        proxy.heal()
        with pytest.raises(TimeoutError):
            one.recv(1)


def test_the_proxy_can_cut_answers_in_the_middle(proxy: Proxy) -> None:
    with connect(proxy) as one:
        assert said(one, b"before") == b"before"
        proxy.cut_answers(after=10)
        with pytest.raises(ConnectionResetError):
            said(one, b"x" * 100)


@pytest.mark.parametrize("how", ["delay", "throttle"])
def test_the_proxy_can_delay_data(proxy: Proxy, how: str) -> None:
    with connect(proxy) as one:
        if how == "delay":
            proxy.delay(0.2)
        else:
            proxy.throttle(200)
        begun = time.monotonic()
        assert said(one, b"x" * 100) == b"x" * 100
        assert time.monotonic() - begun >= 0.2


def test_the_proxy_can_replace_the_server_in_a_url() -> None:
    proxy = Proxy.to("redis://user:pass%20word@localhost:7000/3")
    with proxy:
        assert proxy.through("redis://user:pass%20word@localhost:7000/3") == (
            f"redis://user:pass%20word@127.0.0.1:{proxy.port}/3"
        )
    with pytest.raises(ValueError, match="no port"):
        Proxy.to("redis://localhost/3")


def test_the_proxy_stops_with_open_connections(echo: int) -> None:
    with Proxy(echo) as proxy:
        one = connect(proxy)
        assert said(one, b"a") == b"a"
    with one:
        eventually(lambda: _is_reset(one))


def _is_reset(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
