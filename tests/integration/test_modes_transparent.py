"""`--mode transparent`: three network namespaces, an iptables REDIRECT on the one in the middle.

The client (10.77.0.2) and the server (10.78.0.2) know nothing of a proxy; the router between them hands TCP
to the engine. The byte checker cannot run here (both its ends live in one process): a real client and server
talk, over TCP and TLS, and the ends are looked at on raw sockets.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certs import make_certificates
from tests.support.engine import ROOT, Engine
from wsinspect.capture.reader import Capture

pytestmark = pytest.mark.lab
PREFIX = f"wsi{os.getpid()}"
CLIENT, ROUTER, SERVER = (f"{PREFIX}{part}" for part in "crs")
PROXY_PORT, WS_PORT, WSS_PORT, RAW_PORT = 18080, 9001, 9002, 9003
PEERS = Path(__file__).resolve().parents[1] / "support" / "transparent_peers.py"

_LINKS = f"""
netns add {CLIENT}
netns add {ROUTER}
netns add {SERVER}
link add {PREFIX}a netns {CLIENT} type veth peer name {PREFIX}b netns {ROUTER}
link add {PREFIX}d netns {SERVER} type veth peer name {PREFIX}e netns {ROUTER}
-n {CLIENT} addr add 10.77.0.2/24 dev {PREFIX}a
-n {ROUTER} addr add 10.77.0.1/24 dev {PREFIX}b
-n {ROUTER} addr add 10.78.0.1/24 dev {PREFIX}e
-n {SERVER} addr add 10.78.0.2/24 dev {PREFIX}d
-n {CLIENT} link set {PREFIX}a up
-n {ROUTER} link set {PREFIX}b up
-n {ROUTER} link set {PREFIX}e up
-n {ROUTER} link set lo up
-n {SERVER} link set {PREFIX}d up
-n {CLIENT} route add default via 10.77.0.1
-n {SERVER} route add default via 10.78.0.1
"""


def command(*words: str) -> None:
    """Run an administrator's command; what the kernel does not allow here skips the test."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    if done.returncode:
        reason = done.stderr.strip().replace("\n", " ")
        if os.geteuid() != 0 or any(hint in reason for hint in ("not permitted", "Permission denied")):
            pytest.skip(f"network namespaces need the right CAP_NET_ADMIN and CAP_SYS_ADMIN: {reason}")
        if words[-1] == str(PROXY_PORT) and "able" in reason:
            pytest.skip(f"the kernel has no nat table for iptables: {reason}")
        raise AssertionError(f"{' '.join(words)}: {reason}")


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    ip, iptables = (shutil.which(name, path=path) for name in ("ip", "iptables"))
    assert ip, "make test-deps installs iproute2"
    assert iptables, "make test-deps installs iptables"
    try:
        for line in filter(None, _LINKS.splitlines()):
            command(ip, *line.split())
        redirect = (
            f"{iptables} -w -t nat -A PREROUTING -i {PREFIX}b -p tcp -j REDIRECT --to-ports {PROXY_PORT}"
        )
        command(ip, "netns", "exec", ROUTER, *redirect.split())
        yield
    finally:
        for name in (CLIENT, ROUTER, SERVER):
            subprocess.run([ip, "netns", "del", name], capture_output=True, timeout=30)


def inside(namespace: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, sys.executable, str(PEERS), *words]


@pytest.fixture(scope="module")
def talk(network, tmp_path_factory) -> Iterator[dict]:
    """What the client and the server say they saw, and what the capture says."""
    folder = tmp_path_factory.mktemp("transparent")
    certificates = make_certificates(folder / "certs")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ports = [str(port) for port in (WS_PORT, WSS_PORT, RAW_PORT)]
    with subprocess.Popen(
        inside(SERVER, "server", *ports, str(certificates.chain), str(certificates.key)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        with Engine.start(
            *("--mode", f"transparent@0.0.0.0:{PROXY_PORT}", "--insecure"),
            folder=folder / "engine",
            python=["ip", "netns", "exec", ROUTER, sys.executable],
        ) as engine:
            client = subprocess.run(
                inside(CLIENT, "client", *ports),
                stdout=subprocess.PIPE,
                env=environment,
                timeout=60,
                check=True,
            )
            assert engine.stop() == 0, engine.stderr
        server.stdin.close()
        told = {**json.loads(client.stdout), "server": json.loads(server.stdout.readline())}
        warning = engine.stderr
    with Capture.open(engine.capture) as capture:
        yield {**told, "connections": capture.connections(), "warning": warning}


def test_messages_arrive_over_tcp_and_tls(talk):
    assert talk["ws"] == talk["wss"] == {"text": "hello", "bytes": 100_000, "code": 1000}


def test_each_side_sees_the_end_that_the_other_made(talk):
    assert talk["raw"] == {"fin": "fin", "rst": "rst", "half-close": "after the FIN"}
    assert talk["server"] == {"client-rst": "rst"}


def test_the_server_sees_the_proxy_and_the_client_sees_the_server(talk):
    assert [one.listener for one in talk["connections"][:2]] == [
        f"10.78.0.2:{WS_PORT}",
        f"10.78.0.2:{WSS_PORT}",
    ]
    assert {one.server for one in talk["connections"][:1]} == {f"10.78.0.2:{WS_PORT}"}
    assert {one.tap for one in talk["connections"]} == {"transparent"}
    assert [one.scheme for one in talk["connections"][:2]] == ["ws", "wss"]
    assert all(one.client.startswith("10.77.0.2:") for one in talk["connections"])


def test_a_listener_for_other_machines_is_warned_of(talk):
    assert "other machines can use this proxy" in talk["warning"]
