"""`wsinspect.testing`: a proxy in a test, faults as calls, facts to wait for, and the pytest plugin."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from tests.support.every_case import every_case
from wsinspect.control.client import ControlError
from wsinspect.errors import UsageError
from wsinspect.testing import Proxy, WaitError
from wsinspect.testing.forking import ForkServer

pytest_plugins = ["pytester"]
SUBSCRIBE = '{"type":"subscribe"}'


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    def echo(connection: ServerConnection) -> None:
        try:
            for message in connection:
                connection.send(message)
        except ConnectionClosed:
            return

    with serve(echo, "127.0.0.1", 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{running.socket.getsockname()[1]}/chat?room=1"
        running.shutdown()


def test_a_forced_1006_and_the_reconnect(ws_proxy, server):
    proxy = ws_proxy(server)
    assert proxy.url.endswith("/chat?room=1")
    with connect(proxy.url) as client:
        client.send(SUBSCRIBE)
        frame = proxy.wait_for_frame("dir:c2s json:$.type=subscribe")
        message = proxy.wait_for_message("dir:c2s")
        assert (message.id, message.json()) == (frame.message_id, {"type": "subscribe"})
        first = proxy.wait_for_connection()
        assert [one.id for one in first.frames()][:1] == [frame.id]
        proxy.abort()
        assert proxy.wait_for_close(first).js_code == 1006
        assert client.recv(timeout=20) == SUBSCRIBE
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=20)
    with connect(proxy.url) as client:
        again = proxy.wait_for_reconnect(first)
        client.send(SUBSCRIBE)
        assert proxy.wait_for_message("dir:c2s", after=frame).connection_id == again.id
    assert proxy.session().grade.letter in "ABCDEF"


def test_faults_are_calls_and_say_how_often_they_acted(ws_proxy, server):
    proxy = ws_proxy(server)
    with proxy.refuse(503) as outage:
        with pytest.raises(InvalidStatus):
            connect(proxy.url)
        assert outage.hits == 1
    with connect(proxy.url) as client, proxy.drop("op:text", direction="c2s", name="lost") as lost:
        client.send("never arrives")
        proxy.wait_for_frame("fault:lost")
        assert lost.hits == 1
        proxy.reset()
        client.send("arrives")
        assert client.recv(timeout=20) == "arrives"
        proxy.inject("from nowhere")
        assert client.recv(timeout=20) == "from nowhere"
        proxy.close_connection(code=1012, reason="deploy")
        assert proxy.wait_for_close().server_close_code == 1012
    with pytest.raises(ControlError, match="latency"):
        proxy.latency("no time at all")


def test_a_rule_acts_from_the_moment_it_is_armed(ws_proxy, server):
    """Also on a connection that has compressed messages before: the next frame is met."""
    proxy = ws_proxy(server)
    with every_case(6) as case:
        for compression, before in itertools.product((None, "deflate"), (0, 1, 3)):
            with case(compression, before), connect(proxy.url, compression=compression) as client:
                for number in range(before):
                    client.send(f"message {number}")
                    assert client.recv(timeout=20) == f"message {number}"
                with proxy.drop("op:text", direction="c2s") as lost:
                    client.send("message: lost")
                    proxy.wait_for(f"hit of {lost.name}", lambda lost=lost: lost.hits or None)
                client.send("message: not lost")
                assert client.recv(timeout=20) == "message: not lost"


def test_a_wait_that_is_over_shows_the_lane(ws_proxy, server):
    proxy = ws_proxy(server)
    with pytest.raises(WaitError, match=r"no open connection number 1 within 100 ms\n\n\(no client"):
        proxy.wait_for_connection(within=0.1)
    with connect(proxy.url, compression=None) as client:
        client.send("hello")
        proxy.wait_for_frame("dir:s2c")
        with pytest.raises(WaitError) as caught:
            proxy.wait_for_frame("op:ping", within=0.1)
    text = str(caught.value)
    assert "no frame op:ping within 100 ms" in text
    assert "c>s  TEXT" in text
    assert "hello" in text
    with pytest.raises(WaitError, match="expected one client, there are 0"):
        ws_proxy(server).session()


@pytest.mark.asyncio
async def test_waits_do_not_block_the_loop(ws_proxy, server):
    proxy = ws_proxy(server)
    async with websockets.connect(proxy.url) as client:
        first = await proxy.aio.wait_for_connection()
        await client.send(SUBSCRIBE)
        message = await proxy.aio.wait_for_message("dir:s2c")
        assert message.text == SUBSCRIBE
        assert (await proxy.aio.wait_for_frame("op:text")).connection_id == first.id
        proxy.abort(how="fin")
        closed = await proxy.aio.wait_for_close(first)
        assert closed.how == "fin"
        assert len(list(closed.frames())) == 2
    async with websockets.connect(proxy.url):
        assert (await proxy.aio.wait_for_reconnect()).id > first.id


@pytest.mark.slow
def test_without_pytest_it_is_a_context_manager(server, tmp_path):
    with ForkServer() as forking, Proxy(server, folder=tmp_path, forking=forking) as proxy:
        with connect(proxy.url) as client:
            client.send("x")
            proxy.wait_for_frame("op:text")
        capture = proxy.capture
    assert capture.is_file()
    assert not Path(f"{capture}.journal").exists()


def test_an_option_that_is_wrong_is_said(server, ws_proxy):
    with pytest.raises(UsageError, match="no such option"):
        ws_proxy(server, "--no-such-option")


PAGES = Path(__file__).parents[2]


def python_of(page: str) -> str:
    """The first Python block of a page."""
    return (PAGES / page).read_text("utf-8").partition("```python\n")[2].partition("```")[0]


def test_the_readmes_fifteen_lines_hold(ws_proxy, server):
    code = python_of("README.md")
    assert len(code.splitlines()) <= 15
    stopped = threading.Event()
    started: list[threading.Thread] = []

    def client(url: str) -> None:
        delay = 0.0
        while not stopped.wait(delay * random.uniform(0.5, 1)):
            delay = min(10.0, max(0.2, 2 * delay))
            try:
                with connect(url) as socket:
                    delay = 0.2
                    socket.send(SUBSCRIBE)
                    while not stopped.is_set():
                        with contextlib.suppress(TimeoutError):
                            socket.recv(timeout=0.1)
            except (OSError, ConnectionClosed, InvalidStatus):
                continue

    def start_our_client(url: str) -> None:
        started.append(threading.Thread(target=client, args=(url,)))
        started[0].start()

    names: dict[str, Any] = {"start_our_client": start_our_client}
    exec(compile(code.replace("ws://localhost:3000/chat", server), "README.md", "exec"), names)
    try:
        names["test_our_client_comes_back"](ws_proxy)
    finally:
        stopped.set()
        started[0].join(10)


def test_pytest_with_the_plugin(pytester, server):
    """The example of docs/testing.md passes; the report of a test that fails has what the proxy saw."""
    pytester.makepyfile(
        test_page=python_of("docs/testing.md"),
        test_failing=f"""
        from websockets.sync.client import connect

        def test_it(ws_proxy):
            proxy = ws_proxy("{server}")
            with connect(proxy.url, compression=None) as client:
                client.send("the last words")
                proxy.wait_for_frame("dir:s2c")
                assert client.recv() == "something else"
        """,
        test_fixtures=f"""
        import pytest
        from websockets.sync.client import connect

        def say(proxy, words):
            with connect(proxy.url, compression=None) as client:
                client.send(words)
                proxy.wait_for_frame("dir:s2c")
            raise ValueError

        @pytest.fixture
        def failing_before(ws_proxy):
            say(ws_proxy("{server}"), "words before")

        @pytest.fixture
        def failing_after(ws_proxy):
            yield
            say(ws_proxy("{server}"), "words after")

        def test_before(failing_before):
            pass

        def test_after(failing_after):
            pass
        """,
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:schemathesis")
    result.assert_outcomes(failed=1, passed=2, errors=2)
    text = result.stdout.str()
    assert "- wsinspect -" in text
    assert text.count("the last words") >= 3
    for words in ("words before", "words after"):
        assert text.count(f"  {words}\n") == 2, "the message and its echo"
    captures = {line.removeprefix("capture: ") for line in text.splitlines() if line.startswith("capture: ")}
    assert len(captures) == 3
    assert all(Path(capture).is_file() for capture in captures)
