"""What tests leave behind is named, ended, and fails: processes the run, transports the test.

conftest.py on small runs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import transports
from tests.support.certs import Certificates, make_certificates
from tests.support.processes import is_running

ROOT = Path(__file__).resolve().parents[2]
HEADER = """
import os, subprocess, sys, time

def leave(name):
    code = "import time; time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", f"{code}  # {name}"], start_new_session=True)
    with open(name, "w") as file:
        file.write(str(child.pid))
"""
LEAVES = "def test_leaves():\n    leave('left')\n"
IS_NEAT = "def test_is_neat():\n    assert subprocess.run([sys.executable, '-c', '']).returncode == 0\n"
FAILS = "def test_fails():\n    leave('failed')\n    raise ValueError\n"
#: What a failed test left is ended before the next test, which would have to share the machine with it.
COMES_NEXT = (
    "def test_next():\n    from tests.support.processes import is_running\n"
    "    assert not is_running(int(open('failed').read()))\n"
)
#: A recorder may need its time to end; here nothing does.
IMPATIENT = "from tests.conftest import Orphans\n\nOrphans.PATIENCE_SECONDS = 0.2\n"


def run(folder: Path, *tests: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """pytest with our conftest on a file of these tests."""
    (folder / "test_small.py").write_text("\n\n".join([HEADER, *tests]))
    (folder / "impatient.py").write_text(IMPATIENT)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    plugins = ("-p", "tests.conftest", "-p", "impatient", "-p", "no:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *options, "test_small.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


def left(folder: Path, name: str) -> int:
    """The process that a test left under this name."""
    return int((folder / name).read_text())


def test_a_process_left_behind_is_named_and_ended_and_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, IS_NEAT, LEAVES)
    pid = left(tmp_path, "left")
    assert done.returncode == 1, done.stdout
    assert "2 passed" in done.stdout
    assert "processes that tests left behind, killed now" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{pid} ")]
    assert line.endswith("# left (started by test_small.py::test_leaves (call))")
    assert not is_running(pid)


def test_a_run_that_leaves_nothing_passes(tmp_path: Path) -> None:
    done = run(tmp_path, IS_NEAT)
    assert done.returncode == 0, done.stdout
    assert "left behind" not in done.stdout


@pytest.mark.slow
def test_what_a_failed_test_left_is_ended_before_the_next_test(tmp_path: Path) -> None:
    done = run(tmp_path, FAILS, COMES_NEXT)
    assert "1 failed, 1 passed" in done.stdout
    assert f"{left(tmp_path, 'failed')} " in done.stdout
    assert "(started by test_small.py::test_fails (call))" in done.stdout
    assert not is_running(left(tmp_path, "failed"))


# -- transports


async def open_some(certificates: Certificates) -> list[Any]:
    """Both ends of a TCP connection, and both of one with TLS."""
    ends: list[Any] = []
    accepted = asyncio.Event()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        accepted.set()

    trusting = ssl.create_default_context(cafile=certificates.ca)
    for server_context, context in ((None, None), (certificates.server_context(), trusting)):
        accepted.clear()
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        name = "localhost" if context else None
        ends.append((await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))[1])
        await accepted.wait()
        server.close()
    return ends


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_transports_that_nobody_closed_are_named_once_their_loop_is(certificates: Certificates) -> None:
    loop = asyncio.new_event_loop()
    left = loop.run_until_complete(open_some(certificates))
    assert transports.left_open() == [], "somebody may close them yet"
    loop.close()
    found = transports.left_open()
    assert len(found) == 6, "with TLS there are two, one on the other"
    assert sum("open_some.<locals>.accept" in one for one in found) >= 1
    assert sum(f"{__file__}:" in one for one in found) >= 2
    assert transports.left_open() == []
    del left
    gc.collect()  # without a warning, which would fail this test


def test_transports_that_were_closed_are_not(certificates: Certificates) -> None:
    loop = asyncio.new_event_loop()
    for one in (left := loop.run_until_complete(open_some(certificates))):
        one.close()
    loop.close()  # at once: TLS would have waited for the other end
    assert transports.left_open() == []
    del left, one
    gc.collect()


def test_a_test_that_leaves_one_fails_and_the_next_does_not(tmp_path: Path) -> None:
    leaves = """
import asyncio, gc

def test_leaves():
    async def connect():
        server = await asyncio.start_server(lambda _, writer: kept.append(writer), "127.0.0.1", 0)
        kept.append(await asyncio.open_connection(*server.sockets[0].getsockname()))
        server.close()
    asyncio.run(connect())

def test_next():
    kept.clear()
    gc.collect()

kept = []
"""
    done = run(tmp_path, leaves, options=("-W", "error"))
    assert "2 passed, 1 error" in done.stdout, done.stdout
    assert "ERROR test_small.py::test_leaves - " in done.stdout
    assert "open, and its event loop is closed: <_SelectorSocketTransport" in done.stdout
