"""Why a server ends TLS without saying so: it wants a certificate of the client, and got none.

Before TLS 1.3 the refusal is an alert that has many other meanings. With TLS 1.3 the client is done before
the server has looked (RFC 8446 appendix E.1.2): its alert races the reset that an early request causes, and
some servers (asyncio's) send none. So nothing but a handshake is sent here, and what counts is whether the
server asked for a certificate (RFC 5246 section 7.4.4, RFC 8446 section 4.3.2). With TLS 1.3 that is
encrypted: only the TLS library knows, and Python's `ssl` does not say. pyOpenSSL's info callback does.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # a tenth of a second that only such a failure needs
    from OpenSSL import SSL

#: OpenSSL's words for the alert of TLS 1.3.
REQUIRED: Final = "certificate required"
#: What is said of a server that asked for one and hung up without an alert.
HUNG_UP: Final = "it asked for a client certificate, got none and hung up without an alert"
#: OpenSSL's name of the state after a CertificateRequest (SSL_state_string_long), in every version of TLS.
_ASKED: Final = b"certificate request"
_READ: Final = 16384
#: How long the alert may take once the handshake is over.
_WAIT_SECONDS: Final = 1.0


class CertificateWatch:
    """A client's side of a handshake, without I/O: is it refused for having no certificate?

    Args:
        name: the server's, for SNI; an address is not sent (RFC 6066 section 3).
        alpn: the protocols to offer.

    Attributes:
        answer: how the server refuses, in words with `REQUIRED`; None where nothing shows that it does.
        is_over: nothing more is to be learned.
    """

    def __init__(self, name: str, alpn: Sequence[str]) -> None:
        from OpenSSL import SSL

        context = SSL.Context(SSL.TLS_CLIENT_METHOD)  # verifies nobody: only the refusal matters
        context.set_alpn_protos([one.encode() for one in alpn])
        context.set_info_callback(self._note)
        self._session = SSL.Connection(context, None)
        if not _is_address(name):
            self._session.set_tlsext_host_name(name.encode())
        self._session.set_connect_state()
        self._is_asked = False
        self._is_done = False
        self.answer: str | None = None
        self.is_over = False
        self.feed(b"")

    def _note(self, session: SSL.Connection, where: int, value: int) -> None:
        self._is_asked = self._is_asked or _ASKED in session.get_state_string()

    def feed(self, data: bytes) -> None:
        """Bytes of the server in any pieces; `is_over` and `answer` say what they mean."""
        from OpenSSL import SSL

        if data:
            self._session.bio_write(data)
        try:
            if not self._is_done:
                self._session.do_handshake()
                self._is_done = True
            if not self._is_asked:
                self.is_over = True
                return
            self._session.recv(_READ)
            self.is_over = True  # it speaks: that is no refusal
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self.ended()
        except SSL.Error as error:
            words = " ".join(part for one in error.args[0] for part in one).lower() if error.args else ""
            is_refusal = REQUIRED in words or (self._is_asked and "handshake failure" in words)
            self.is_over, self.answer = True, f"client {REQUIRED}" if is_refusal else None

    def ended(self) -> None:
        """No more comes: the server closed the connection, or reset it."""
        self.is_over = True
        # Before TLS 1.3 the server has looked by the end of the handshake: a later end has another cause.
        can_be_it = not self._is_done or self._session.get_protocol_version_name() == "TLSv1.3"
        self.answer = f"client {REQUIRED}: {HUNG_UP}" if self._is_asked and can_be_it else None

    def outgoing(self) -> bytes:
        """Take what is to be sent to the server next."""
        from OpenSSL import SSL

        try:
            return self._session.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""


async def wants_certificate(sock: socket.socket, name: str, alpn: Sequence[str]) -> str | None:
    """Whether the server refuses a client for having no certificate; nothing is sent but the handshake.

    Args:
        sock: connected and non-blocking; closed here.
        name: the server's, for SNI.
        alpn: the protocols to offer.

    Returns:
        How it refuses, in words with `REQUIRED`; None where it does not, or nothing shows it.
    """
    loop, watch = asyncio.get_running_loop(), CertificateWatch(name, alpn)
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            while True:
                if out := watch.outgoing():
                    await loop.sock_sendall(sock, out)
                if watch.is_over:
                    break
                if data := await loop.sock_recv(sock, _READ):
                    watch.feed(data)
                else:
                    watch.ended()
    except TimeoutError:
        pass
    except OSError:
        watch.ended()
    finally:
        sock.close()
    return watch.answer


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
