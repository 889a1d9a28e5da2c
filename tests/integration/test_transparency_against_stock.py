"""What stock mitmproxy is known to change, row by row: we do the opposite, and stock still does it.

That stock mitmproxy of the same version differs in a case shows that the case tests what it says; where a
newer mitmproxy stops differing, the row says so by failing, and the seams can shrink.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cases import all_cases
from tests.support.certs import make_certificates
from tests.support.engine import private_environment, start_engine
from tests.support.origin import Origin
from tests.support.routes import Checker, Route
from tests.support.small_servers import free_port
from tests.support.threaded_loop import ThreadedLoop

CASES = {case.name: case for case in all_cases()}
ROWS = {
    "FIN without close frame becomes a close frame": ["ends-server-fin", "ends-client-fin"],
    "RST becomes FIN": ["ends-server-rst", "ends-client-rst"],
    "half-close ends both directions": ["half-close-server-half", "half-close-client-half"],
    "a truncated frame is thrown away": ["s2c-cut-at-6-fin", "c2s-cut-at-6-rst"],
    "fragments are held until the last": ["s2c-fragments-2", "c2s-fragments-never-finished"],
    "a PING overtakes the first fragment": ["s2c-fragments-ping-between", "c2s-fragments-ping-between"],
    "frames are masked anew": ["c2s-length-1000"],
    "unmasked client and masked server frames end in 1002": ["c2s-mask-wrong-text", "s2c-mask-wrong-text"],
    "reserved bits end in 1002": ["c2s-rsv1-text", "s2c-rsv2-binary"],
    "reserved opcodes end in 1002": ["c2s-opcode-3-fin1", "s2c-opcode-b-fin1"],
    "illegal close codes end in 1002": ["s2c-close-1006", "c2s-close-1005", "s2c-close-1014"],
    "invalid UTF-8 ends in 1007": ["c2s-utf8-lone-ff", "s2c-utf8-surrogate"],
    "broken deflate ends in 1002": ["c2s-deflate-broken", "s2c-deflate-broken"],
    "messages are compressed anew": ["c2s-deflate-mixed", "s2c-deflate-fragments"],
    "lengths are encoded anew": ["c2s-length-125-as-64-bit", "s2c-length-1-as-16-bit"],
    "an unknown extension ends in 1002": ["extension-unknown"],
    "server_max_window_bits=8 crashes the layer": ["extension-window-8"],
    "client_max_window_bits without a value crashes the layer": ["extension-client-window-no-value"],
    "a quoted value crashes the layer": ["extension-quoted"],
    "late data between close frames is dropped": ["closing-late-data-from-client"],
    "an empty close is answered by the proxy": ["closing-client-never-answers", "closing-empty-both"],
    "103 Early Hints hang the handshake": ["answer-early-hints"],
    "CR LF at the start of the payload is stripped": ["s2c-begins-with-crlf"],
}


@dataclass
class Sides:
    """The same origin behind our engine and behind stock mitmdump."""

    loop: ThreadedLoop
    origin: Origin
    ours: Route
    stock: Route

    def failures(self, names: list[str], route: Route, timeout: float) -> dict[str, list[str]]:
        cases = [CASES[name] for name in names]
        return self.loop.run(Checker(self.origin, timeout=timeout).failures(cases, route))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder = tmp_path_factory.mktemp("stock")
    context = make_certificates(folder / "certs").server_context()
    with ThreadedLoop() as loop:
        origin = loop.run(_open(context))
        port = free_port()
        stock = start_mitmdump(
            folder / "stock", f"reverse:http://127.0.0.1:{origin.port}@127.0.0.1:{port}", port
        )
        try:
            with start_engine(origin, folder) as engine:
                yield Sides(loop, origin, Route("ours", engine.port("plain")), Route("stock", port))
        finally:
            stock.terminate()
            stock.wait(20)
            loop.run(origin.__aexit__())


async def _open(context: ssl.SSLContext) -> Origin:
    return await Origin(context).__aenter__()


def start_mitmdump(folder: Path, mode: str, port: int) -> subprocess.Popen[bytes]:
    """Stock mitmdump, once it accepts connections."""
    folder.mkdir()
    code = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    options = ["-q", "--mode", mode, "--set", f"confdir={folder}", "--set", "connection_strategy=lazy"]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *options],
        env=private_environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise RuntimeError("mitmdump did not start")


@pytest.mark.parametrize("row", ROWS)
def test_we_do_the_opposite_of_stock_mitmproxy(sides, row):
    assert sides.failures(ROWS[row], sides.ours, timeout=5) == {}
    assert sorted(sides.failures(ROWS[row], sides.stock, timeout=1)) == sorted(ROWS[row])
