"""Socket.IO's client of version 4 at a server of version 2, and of version 2 there: the real packages."""

import pytest

from tests.support.app_capture import asked, engine_before, node
from tests.support.apps import NODE
from tests.support.finding_lab import LOOPBACK, by_path, found_in
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab
PATH = "/socket.io/"


@pytest.mark.parametrize(
    ("version", "told", "expected"),
    [
        (4, "It seems you are trying to reach a Socket.IO server in v2.x with a v3.x client", ["WS-APP-009"]),
        (2, None, []),
    ],
)
def test_a_server_of_version_2(tmp_path, version, told, expected):
    if not (NODE / "node_modules" / "socket.io-2").is_dir():
        pytest.skip("the package socket.io-2 is missing: make test-deps")
    with (
        ThreadedLoop() as loop,
        node(loop, "socketio_old.mjs") as (app, started),
        engine_before(tmp_path, app=started["port"]) as engine,
    ):
        outcome = asked(loop, app, url=f"http://{LOOPBACK}:{engine.port('app')}", version=version)
        engine.stop()
    assert outcome.get("refused", "").startswith(told) if told else outcome == {"connected": version}
    assert by_path(engine.capture) == {PATH: expected}
    for found in found_in(engine.capture):
        assert (found.fault_of, found.severity) == ("client", "error")
        assert any("EIO=4" in line for line in found.evidence)
