"""Seam: TLS ends (`TLSLayer`): close_notify seen and close_notify sent.

Stock mitmproxy tells its layers of a close_notify as of a FIN, and then swallows the FIN or RST that
follows; it never sends a close_notify. Here each is reported on its own, so that each can be passed on as
what it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from mitmproxy.proxy import tunnel
from mitmproxy.proxy.layers.tls import TLSLayer
from OpenSSL import SSL

# pyOpenSSL's functions take a buffer and a copy for each record, and answer "no more" with an exception.
_lib, _ffi = SSL._lib, SSL._ffi  # type: ignore[attr-defined]
_allocate = _ffi.new_allocator(should_clear_after_alloc=False)
_RECORD_BYTES = 1 << 14
#: What a record may have in addition to its plain bytes (RFC 8446 section 5.2; RFC 5246 section 6.2.3).
_OVERHEAD = 256
#: Room for what is not counted: a record that was there by a part, alerts, session tickets.
_ROOM = _RECORD_BYTES + _OVERHEAD


def report_every_end(tls: TLSLayer) -> None:
    """After a close_notify, still report the FIN or RST that follows it."""

    def receive_close() -> object:
        return tunnel.TunnelLayer.receive_close(tls)

    tls.__dict__["receive_close"] = receive_close


def has_close_notify(tls: TLSLayer) -> bool:
    """Whether the peer has sent its close_notify.

    OpenSSL sets the same flag for a fatal alert, for which stock mitmproxy reports no end. After one the
    session is in its error state, which `SSL_state_string_long` names; what a further read says differs
    between releases.
    """
    has_ended = bool(tls.tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN)
    return has_ended and tls.tls.get_state_string() != b"error"


def send_close_notify(tls: TLSLayer, send: Callable[[bytes], None]) -> None:
    """Send our close_notify once, after what was written before it."""
    if tls.tls.get_shutdown() & SSL.SENT_SHUTDOWN:
        return
    with contextlib.suppress(SSL.Error):
        tls.tls.shutdown()
    flush(tls.tls, send)


def flush(connection: SSL.Connection, send: Callable[[bytes], None], expected: int = 0) -> None:
    """Hand on what OpenSSL has for the wire, of which about `expected` bytes are known."""
    size = expected + _ROOM
    while True:
        buffer = _allocate("char[]", size)
        length = _lib.BIO_read(connection._from_ssl, buffer, size)
        if length > 0:
            send(_ffi.buffer(buffer, length)[:])
        if length < size:
            return


def encrypt(connection: SSL.Connection, send: Callable[[bytes], None], plain: bytes) -> None:
    """Hand on TLS records with `plain`; nothing after our close_notify, or when the session is broken."""
    with contextlib.suppress(SSL.Error):
        connection.sendall(plain)
    records = len(plain) // _RECORD_BYTES + 1
    flush(connection, send, len(plain) + records * _OVERHEAD)


def through(outer: list[TLSLayer], send: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """`send` for what is within these TLS sessions, outermost first (an https proxy's)."""
    for layer in outer:
        send = partial(encrypt, layer.tls, send)
    return send


def decrypt(connection: SSL.Connection, data: bytes) -> tuple[bytes, bool]:
    """Feed TLS records; returns the plain bytes they complete, and whether the stream has ended or broken.

    A call of OpenSSL gives one record. All of them go into one buffer, which has room for what was there of a
    record before, too.
    """
    if data:
        connection.bio_write(data)
    session, size = connection._ssl, len(data) + _ROOM
    plain: list[bytes] = []
    while True:
        buffer, filled = _allocate("char[]", size), 0
        while filled < size and (length := _lib.SSL_read(session, buffer + filled, size - filled)) > 0:
            filled += length
        plain.append(_ffi.buffer(buffer, filled)[:])
        if filled < size:
            break
    ended = _lib.SSL_get_error(session, length) != _lib.SSL_ERROR_WANT_READ
    if ended:
        # Takes the error off OpenSSL's queue, which all connections share.
        with contextlib.suppress(SSL.Error):
            connection._raise_ssl_error(session, length)
    return plain[0] if len(plain) == 1 else b"".join(plain), ended


def verify_error(connection: SSL.Connection) -> str | None:
    """Why OpenSSL would not trust the peer's chain (also where verification is off).

    pyOpenSSL has a callback for it and no function, and the callback is mitmproxy's.
    """
    result = _lib.SSL_get_verify_result(connection._ssl)
    if result == 0:
        return None
    text: str = _ffi.string(_lib.X509_verify_cert_error_string(result)).decode()
    return text


__all__ = [
    "decrypt",
    "encrypt",
    "flush",
    "has_close_notify",
    "report_every_end",
    "send_close_notify",
    "through",
    "verify_error",
]
