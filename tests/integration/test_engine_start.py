"""Starting: what `ready` says, and one clear line with the right exit code for what cannot be."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.engine import Engine, private_environment
from wsinspect.capture.reader import Capture


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`wsinspect run` with options that do not let it start."""
    folder.mkdir(exist_ok=True)
    return warm.run(["run", "--headless", *options], folder=folder, environment=private_environment(folder))


def assert_refused(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert result.returncode == code, result.stderr
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_ready_names_every_listener_with_its_real_port(tmp_path: Path) -> None:
    taps = ("--tap", "edge=0=http://127.0.0.1:9", "--tap", "origin=0=https://127.0.0.1:9")
    with Engine.start("--listen", "0", *taps, folder=tmp_path) as engine:
        listeners = engine.ready["listeners"]
        assert [listener["tap"] for listener in listeners] == ["regular", "edge", "origin"]
        assert listeners[1]["mode"] == "reverse:http://127.0.0.1:9"
        assert {listener["host"] for listener in listeners} == {"127.0.0.1"}
        assert len({listener["port"] for listener in listeners}) == 3
        for listener in listeners:
            socket.create_connection(("127.0.0.1", listener["port"]), 5).close()
        assert engine.ready["pid"] == engine.process.pid
        assert set(engine.ready["control"]) == {"url", "token_file"}
        assert engine.ready["schema"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(number: int, tmp_path: Path) -> None:
    engine = Engine.start("--listen", "0", "--capture", str(tmp_path / "run.db"), folder=tmp_path)
    capture = engine.capture
    engine.process.send_signal(number)
    assert engine.stop() == 0
    # A slow machine may be told that a second signal would end it sooner.
    assert [line for line in engine.stderr.splitlines() if "interrupt again" not in line] == []
    assert not capture.with_name(capture.name + ".journal").exists()
    with Capture.open(capture) as recorded:
        assert recorded.meta["closed_cleanly"] is True
        assert recorded.meta["taps"][0]["tap"] == "regular"


def test_a_start_says_what_earlier_runs_left(tmp_path: Path) -> None:
    with Engine.start("--listen", "0", folder=tmp_path) as engine:
        assert "earlier runs" not in engine.stderr
        socket.create_connection(("127.0.0.1", engine.port("regular")), 5).close()
        engine.wait_for_event("client_left")
    with Engine.start("--listen", "0", folder=tmp_path) as engine:
        said = engine.wait_for_stderr("1 capture of earlier runs")
        assert str(engine.capture.parent) in said


def test_a_run_that_no_client_used_leaves_nothing(tmp_path: Path) -> None:
    engine = Engine.start("--listen", "0", "--name", "quiet", folder=tmp_path)
    capture = engine.capture
    assert capture.name == "quiet.db"
    assert engine.stop() == 0
    assert "no client came" in engine.stderr
    assert list(capture.parent.iterdir()) == []


def test_a_name_is_free_and_without_a_path(tmp_path: Path) -> None:
    assert_refused(run(tmp_path, "--name", "../x"), 2, "invalid name", "letters")
    refused = run(tmp_path, "--name", "x", "--capture", "y.db")
    assert_refused(refused, 2, "--name", "--capture")
    with Engine.start("--listen", "0", "--name", "busy", folder=tmp_path):
        again = run(tmp_path, "--name", "busy")
        assert again.returncode == 2
        assert "exists" in again.stderr


def test_files_are_private(tmp_path: Path) -> None:
    with Engine.start("--mode", "regular@0", "--mode", "wireguard@0", folder=tmp_path) as engine:
        capture = engine.capture
        journal = capture.with_name(capture.name + ".journal")
        assert capture.stat().st_mode & 0o777 == 0o600
        assert journal.stat().st_mode & 0o777 == 0o700
        authority = tmp_path / "data/wsinspect/ca"
        # mitmproxy alone writes WireGuard's keys for everybody to read.
        keys = [*authority.glob("*-ca.pem"), authority / "wireguard.conf"]
        assert len(keys) == 2
        assert all(key.stat().st_mode & 0o777 == 0o600 for key in keys)
        runs = list((tmp_path / "runtime/wsinspect").glob("*.json"))
        assert [path.stat().st_mode & 0o777 for path in runs] == [0o600]


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(tmp_path, "--listen", str(port))
    assert_refused(result, 3, f"port {port} is taken", "--listen")
    assert list((tmp_path / "data/wsinspect/captures").iterdir()) == []


def test_a_host_that_is_not_ours(tmp_path: Path) -> None:
    assert_refused(
        run(tmp_path, "--listen", "192.0.2.1:8080"), 3, "192.0.2.1", "not an address of this machine"
    )


def test_a_capture_that_exists(tmp_path: Path) -> None:
    capture = tmp_path / "old.db"
    with Engine.start("--listen", "0", "--capture", str(capture), folder=tmp_path / "home"):
        pass
    before = capture.read_bytes()
    assert_refused(run(tmp_path, "--listen", "0", "--capture", str(capture)), 2, "old.db", "--append")
    assert capture.read_bytes() == before


def test_append_continues_in_the_same_file(tmp_path: Path) -> None:
    capture = tmp_path / "one.db"
    for extra in ((), ("--append",)):
        home = tmp_path / "home"
        with Engine.start("--listen", "0", "--capture", str(capture), *extra, folder=home) as engine:
            with socket.create_connection(("127.0.0.1", engine.port("regular")), 5) as client:
                client.sendall(
                    b"GET http://127.0.0.1:9/x HTTP/1.1\r\nHost: 127.0.0.1:9\r\nUpgrade: websocket\r\n\r\n"
                )
                assert b"502" in client.recv(4096)
            engine.wait_for_event("refused")
    with Capture.open(capture) as recorded:
        assert [connection.id for connection in recorded.connections()] == [1, 2]


def test_append_to_a_file_that_is_not_a_capture(tmp_path: Path) -> None:
    text = tmp_path / "notes.db"
    text.write_text("dear diary")
    assert_refused(run(tmp_path, "--listen", "0", "--append", "--capture", str(text)), 2, "notes.db")
    assert text.read_text() == "dear diary"


def test_append_to_a_newer_capture(tmp_path: Path) -> None:
    capture = tmp_path / "new.db"
    with Engine.start("--listen", "0", "--capture", str(capture), folder=tmp_path / "home"):
        pass
    database = sqlite3.connect(capture)
    database.execute("PRAGMA user_version = 999")
    database.close()
    assert_refused(
        run(tmp_path, "--listen", "0", "--append", "--capture", str(capture)), 2, "new.db", "newer"
    )


def test_a_capture_that_cannot_be_written(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such" / "folder" / "x.db"
    assert_refused(run(tmp_path, "--listen", "0", "--capture", str(missing)), 3, "x.db")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "nonsense=1"), ("mitmproxy", "nonsense")),
        (("--set", "emudhra=true"), ("emudhra",)),
        (("--set", "emudhra_old=true"), ("emudhra_old",)),
        (("--append",), ("--append", "--capture")),
        (("--reverse", "ftp://x"), ("ftp://x", "http://localhost:3000")),
        (("--tap", "edge"), ("edge", "NAME=[HOST:]PORT=URL")),
        (("--snaplen", "4parsec"), ("units",)),
        (("--tap", "a=0=http://x", "--tap", "a=0=http://y"), ("'a'", "name")),
        (("--tap", "a=8090=http://x", "--tap", "b=8090=http://y"), ("8090",)),
    ],
)
def test_wrong_usage(options: tuple[str, ...], words: tuple[str, ...], tmp_path: Path) -> None:
    result = run(tmp_path, *options)
    assert result.returncode == 2, result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_another_mitmproxy_is_refused_by_name(tmp_path: Path) -> None:
    script = (
        "import mitmproxy.version as v; v.VERSION = '99.0'\n"
        "import sys; sys.argv[0] = 'wsinspect'\n"
        "from wsinspect.cli.main import main; sys.exit(main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "run", "--headless", "--listen", "0"],
        env=private_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert_refused(result, 3, "mitmproxy 99.0")


def test_listening_for_others_is_warned_of(tmp_path: Path) -> None:
    with Engine.start("--listen", "0.0.0.0:0", folder=tmp_path) as engine:
        engine.wait_for_stderr("other machines")


def test_a_proxy_with_a_password_asks_for_it(tmp_path: Path) -> None:
    """The addon for it is imported where it is wanted alone."""
    with Engine.start("--listen", "127.0.0.1:0", "--set", "proxyauth=me:secret", folder=tmp_path) as engine:
        with socket.create_connection(("127.0.0.1", engine.port("regular")), timeout=20) as client:
            client.sendall(b"GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 407 ")
        assert engine.stop() == 0


def test_a_closed_stdout_does_not_stop_it(tmp_path: Path) -> None:
    """The reader of the lines goes away; the proxy goes on and ends cleanly."""
    words = ["run", "--headless", "--listen", "0", "--capture", "x.db"]
    errors = tmp_path / "stderr"
    with errors.open("wb") as stderr:
        process = warm.start(words, folder=tmp_path, environment=private_environment(tmp_path), stderr=stderr)
    assert process.stdout is not None
    with process.stdout as stdout:
        port = int(stdout.readline().split(b"127.0.0.1:")[1].split()[0])
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(
                b"GET http://127.0.0.1:9/x HTTP/1.1\r\nHost: 127.0.0.1:9\r\nUpgrade: websocket\r\n\r\n"
            )
            assert b"502" in client.recv(4096)
    process.terminate()
    assert process.wait(20) == 0, errors.read_text()
    assert "Traceback" not in errors.read_text()
    with Capture.open(tmp_path / "x.db") as recorded:
        assert len(recorded.connections()) == 3
