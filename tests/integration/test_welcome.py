"""The proxy's own address, or mitm.it through it: a page that says what to do; none of it is recorded."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("welcome")
    with Engine.start("--listen", "127.0.0.1:0", folder=folder) as running:
        yield running


def ask(
    engine: Engine, target: str, *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", engine.port("regular"), timeout=20)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_the_proxys_own_address_says_how_to_use_it(engine: Engine) -> None:
    status, headers, body = ask(engine, "/")
    assert status == 200
    assert f"127.0.0.1:{engine.port('regular')}".encode() in body
    assert b"wsinspect browser" in body
    assert b"Not used as a proxy yet" in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"<script" not in body


def test_through_the_proxy_it_says_that_it_works(engine: Engine) -> None:
    status, _, body = ask(engine, "http://mitm.it/")
    assert status == 200
    assert b"It works" in body


@pytest.mark.parametrize("target", ["/cert.pem", "http://mitm.it/cert.pem"])
def test_the_certificate_can_be_loaded(engine: Engine, target: str) -> None:
    status, headers, body = ask(engine, target)
    assert (status, headers["content-type"]) == (200, "application/x-x509-ca-cert")
    context = ssl.create_default_context(cadata=body.decode())
    assert context.cert_store_stats()["x509_ca"] >= 1
    assert b"PRIVATE KEY" not in body


def test_it_works_over_tls_through_a_tunnel(engine: Engine) -> None:
    authority = ask(engine, "/cert.pem")[2].decode()
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=authority)
    connection = http.client.HTTPSConnection("127.0.0.1", engine.port("regular"), timeout=20, context=context)
    connection.set_tunnel("mitm.it", 443)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert b"It works" in answer.read()
    finally:
        connection.close()


def test_head_has_the_length_and_no_body(engine: Engine) -> None:
    status, headers, body = ask(engine, "/", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) == len(ask(engine, "/")[2])


def test_what_a_browser_asks_for_beside_it_is_not_a_failure(engine: Engine) -> None:
    status, _, body = ask(engine, "/favicon.ico")
    assert status == 404
    assert b"/ says how to use it" in body


def test_only_get_is_answered_and_never_a_websocket(engine: Engine) -> None:
    assert ask(engine, "/", method="POST")[0] == 502
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    status, _, body = ask(engine, "/", **handshake, **{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert status == 502
    assert b"<html" not in body


def test_nothing_is_recorded_of_it(tmp_path: Path) -> None:
    engine = Engine.start("--listen", "127.0.0.1:0", folder=tmp_path)
    assert ask(engine, "/")[0] == 200
    capture = engine.capture
    assert engine.stop() == 0
    assert not capture.exists()


def test_a_reverse_proxy_has_no_page_of_its_own(tmp_path: Path) -> None:
    options = ("--listen", "127.0.0.1:0", "--reverse", "http://127.0.0.1:9")
    with Engine.start(*options, folder=tmp_path) as engine:
        connection = http.client.HTTPConnection("127.0.0.1", engine.port("reverse"), timeout=20)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 502
        assert b"cannot connect to 127.0.0.1:9" in answer.read()
        connection.close()
