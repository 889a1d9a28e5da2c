"""What a server says of client certificates before TLS is encrypted, whole and in any pieces."""

from __future__ import annotations

import pytest

from wsinspect.doctor.tls_refusal import HandshakeWatch


def message(kind: int, size: int) -> bytes:
    return bytes((kind,)) + size.to_bytes(3, "big") + bytes(size)


def record(body: bytes, kind: int = 22) -> bytes:
    return bytes((kind, 3, 3)) + len(body).to_bytes(2, "big") + body


HELLO, CERTIFICATE, REQUEST, DONE = message(2, 70), message(11, 900), message(13, 30), message(14, 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (record(HELLO + CERTIFICATE + REQUEST + DONE), True),
        (record(HELLO) + record(CERTIFICATE) + record(REQUEST), True),
        (record((HELLO + CERTIFICATE + REQUEST)[:600]) + record((HELLO + CERTIFICATE + REQUEST)[600:]), True),
        (record(HELLO + CERTIFICATE + DONE), False),
        (record(HELLO) + record(b"\x01", 20) + record(REQUEST), False),  # encrypted from there on
        (record(b"\x02\x28", 21), False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_request_for_a_certificate_is_seen(data, expected, step) -> None:
    watch = HandshakeWatch()
    for at in range(0, len(data), step):
        watch.feed(data[at : at + step])
    assert watch.is_asked is expected
