"""The doctor and TLS: certificates, a plain port asked for TLS and the reverse, HTTP/2 behind ALPN."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading

import pytest

from tests.support.certs import DAY, NOW, dated_certificate, make_certificates
from tests.support.doctor_lab import (
    LOOPBACK,
    Http2Server,
    echo,
    examine_server,
    examined,
    ids,
    is_upgrade,
    listening,
    pongs,
    replies,
    serving_http2,
    unless,
)
from wsinspect.doctor.examination import Examination
from wsinspect.handshake.heads import RawHead

#: For servers that never come to an answer.
SHORT_NS = 200_000_000


def test_a_certificate_that_nobody_trusts_stops_it_before_anything_is_sent(tmp_path) -> None:
    asked: list[RawHead] = []

    async def play(head, reader, writer) -> None:
        asked.append(head)

    certificates = make_certificates(tmp_path)
    found = examine_server(play, tls=certificates.server_context())
    assert ids(found) == ["WS-TLS-014"]
    assert asked == []
    assert any("certificate of CN=localhost" in line for line in found.judgement.findings[0].evidence)


def test_a_certificate_is_trusted_by_its_authority_or_with_insecure(tmp_path) -> None:
    certificates = make_certificates(tmp_path)
    secure = unless(lambda head: (head.get("origin") or b"https").startswith(b"http:"), "403 Forbidden")
    found = examine_server(replies(echo), tls=certificates.server_context(), trusted=(certificates.ca,))
    assert found.judgement.verdict == "healthy"
    assert re.search(r"TLS: TLSv1\.3, certificate trusted", "\n".join(found.judgement.ruled_out))
    found = examine_server(secure, tls=certificates.server_context(), is_insecure=True)
    assert ids(found)[0] == "WS-TLS-020", [one.facts.error for one in found.answers]
    assert found.judgement.verdict == "degraded"


@pytest.mark.parametrize(
    ("begin", "end", "wanted", "words"),
    [
        (-2 * DAY, -DAY, "WS-TLS-010", "has expired"),
        (DAY, 2 * DAY, "WS-TLS-011", "not valid yet"),
    ],
)
def test_a_certificate_out_of_its_dates_stops_it_before_anything_is_sent(
    tmp_path, begin, end, wanted, words
) -> None:
    chain, key, ca = dated_certificate(tmp_path, "dated", begin=begin, end=end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    asked: list[RawHead] = []

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(head)
        await replies(echo)(head, reader, writer)

    found = examine_server(play, tls=context, trusted=(ca,))
    assert (ids(found), found.judgement.verdict, found.exit_code) == ([wanted], "failing", 1)
    assert words in found.judgement.headline
    assert any(str((NOW + end).date()) in line for line in found.judgement.findings[0].evidence)
    assert asked == []
    found = examine_server(play, tls=context, is_insecure=True)
    assert (ids(found)[0], found.judgement.verdict) == ("WS-TLS-020", "degraded")
    assert asked


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_for_another_name(tmp_path, host) -> None:
    certificates = make_certificates(tmp_path, ("example.org",))
    found = examine_server(
        replies(echo), tls=certificates.server_context(), trusted=(certificates.ca,), host=host
    )
    assert ids(found)[0] == "WS-TLS-013"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_client_certificate_is_not_taken_for_a_silent_one(tmp_path, version) -> None:
    tls = make_certificates(tmp_path)
    context = tls.server_context()
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tls.ca)

    def serve(listener: socket.socket) -> None:
        # Blocking: asyncio's servers abort such a handshake without an alert.
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                with accepted, contextlib.suppress(OSError), context.wrap_socket(accepted, server_side=True):
                    pass

    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        found = asyncio.run(examined(f"wss://{LOOPBACK}:{port}/", trusted=(tls.ca,)))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(20)
    assert ids(found) == ["WS-TLS-015"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_asked_for_and_missed_without_an_alert(tmp_path, version) -> None:
    """asyncio's servers abort such a handshake: with TLS 1.3 the client has sent its request by then."""
    tls = make_certificates(tmp_path)
    context = tls.server_context()
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tls.ca)
    found = examine_server(replies(echo), tls=context, trusted=(tls.ca,))
    assert ids(found) == ["WS-TLS-015"]
    assert any("asked for a client certificate" in line for line in found.judgement.findings[0].evidence)


@pytest.mark.parametrize("mode", [ssl.CERT_NONE, ssl.CERT_OPTIONAL])
def test_a_tls_server_that_hangs_up_is_not_said_to_want_a_certificate(tmp_path, mode) -> None:
    tls = make_certificates(tmp_path)
    context = tls.server_context()
    context.verify_mode = mode
    context.load_verify_locations(tls.ca)
    found = examine_server(replies(lambda head: b""), tls=context, trusted=(tls.ca,))
    assert ids(found) == ["WS-HS-035"]


def test_a_tls_port_that_says_nothing_to_plain_requests(tmp_path) -> None:
    tls = make_certificates(tmp_path)

    async def run() -> Examination:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        context = tls.server_context()
        async with listening(handle, context) as port:
            return await examined(f"ws://{LOOPBACK}:{port}/")

    found = asyncio.run(run())
    assert ids(found)[0] == "WS-HS-054"
    assert "wss is meant" in found.judgement.headline


def test_tls_asked_of_a_plain_port_and_plain_of_a_tls_port(tmp_path) -> None:
    found = examine_server(replies(echo), scheme="wss")
    assert ids(found)[0] == "WS-TLS-017"
    assert found.judgement.verdict == "failing"
    tls = make_certificates(tmp_path)
    found = examine_server(replies(echo), tls=tls.server_context(), scheme="ws", trusted=(tls.ca,))
    assert ids(found)[0] in ("WS-TLS-018", "WS-HS-054")


def test_tls_asked_of_a_plain_server_that_says_nothing_to_it() -> None:
    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = RawHead.parse(await reader.readuntil(b"\r\n\r\n"))
        writer.write(echo(head))
        if is_upgrade(head):
            await pongs(reader, writer)

    async def run() -> Examination:
        async with listening(patient) as port:
            return await examined(f"wss://127.0.0.1:{port}/", timeout_ns=SHORT_NS)

    assert ids(asyncio.run(run()))[:1] == ["WS-HS-054"]


@pytest.mark.parametrize(
    ("answer", "expected", "severity"),
    [
        (lambda http2, stream: http2.reset_stream(stream, 13), "WS-H2-009", "warning"),
        (lambda http2, stream: http2.reset_stream(stream, 7), "WS-H2-001", "warning"),
        (lambda http2, _: http2.close_connection(0, last_stream_id=0), "WS-H2-001", "warning"),
        (lambda http2, stream: http2.reset_stream(stream, 1), "WS-H2-001", "error"),
        (lambda http2, stream: http2.close_connection(2, last_stream_id=0), "WS-H2-001", "error"),
        # As HAProxy 3.3.9, which made an ordinary request of it (haproxy/haproxy#3355).
        (
            lambda http2, stream: http2.send_headers(
                stream, [(":status", "200"), ("content-type", "text/html")]
            ),
            *("WS-H2-001", "error"),
        ),
    ],
)
def test_how_a_websocket_over_http2_was_not_opened(tmp_path, answer, expected, severity) -> None:
    certificates = make_certificates(tmp_path)
    play = unless(lambda head: head.get("origin") == b"https://wsinspect.invalid", "403 Forbidden")

    async def run() -> Examination:
        async with serving_http2(
            certificates.server_context(), Http2Server(None, answer=answer), play
        ) as port:
            return await examined(f"wss://localhost:{port}/chat", trusted=(certificates.ca,))

    found = asyncio.run(run()).judgement.findings
    assert [(one.id, one.severity) for one in found if one.id.startswith("WS-H2-")] == [(expected, severity)]


@pytest.mark.parametrize(
    ("status", "is_announced", "expected", "words"),
    [
        ("200", True, [], "announces WebSockets over it (RFC 8441): HTTP/2 200"),
        ("404", False, [], "no WebSockets over it (RFC 8441)"),
        ("501", True, ["WS-H2-001"], "HTTP/2 501"),
        (None, True, ["WS-H2-001"], "reset the stream"),
        ("400", True, ["WS-H2-001"], "HTTP/2 400"),
        ("403", True, ["WS-H2-020"], "HTTP/2 403"),
        ("426", True, ["WS-H2-020"], "HTTP/2 426"),
    ],
)
def test_a_websocket_over_http2(tmp_path, status, is_announced, expected, words) -> None:
    certificates = make_certificates(tmp_path)
    http2 = Http2Server(status, is_announced=is_announced)
    play = unless(lambda head: head.get("origin") == b"https://wsinspect.invalid", "403 Forbidden")

    async def run() -> Examination:
        async with serving_http2(certificates.server_context(), http2, play) as port:
            return await examined(f"wss://localhost:{port}/chat", trusted=(certificates.ca,))

    found = asyncio.run(run())
    assert ids(found) == expected
    (line,) = [one for one in found.judgement.ruled_out if one.startswith("HTTP/2: ")]
    assert words in line
    assert "curl needs --http1.1" in line
    asked = [one[b":protocol"] for one in http2.requests]
    assert asked == ([b"websocket"] if is_announced else [])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x03\xff\xff" + b"\x02" * 70000, id="a record that is too long"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x50", id="an alert"),
        pytest.param(bytes(range(256)) * 300, id="any bytes"),
    ],
)
def test_garbage_for_tls_is_one_finding(data) -> None:
    async def run() -> Examination:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(data)

        async with listening(handle) as port:
            return await examined(f"wss://localhost:{port}/")

    found = asyncio.run(run())
    assert [one.severity for one in found.judgement.findings] == ["error"]
    assert ids(found)[0].startswith("WS-TLS-")
    assert found.judgement.verdict == "failing"
