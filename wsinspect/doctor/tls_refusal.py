"""Why a server ends TLS without saying so: it wants a certificate of the client, and got none.

Before TLS 1.3 the request for a certificate is in the clear (RFC 5246 section 7.4.4), and the refusal is an
alert that has many other meanings. With TLS 1.3 the client is done before the server has looked (RFC 8446
appendix E.1.2): its alert races the reset that an early request causes, so none is sent here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

#: OpenSSL's words for the alert of TLS 1.3.
REQUIRED: Final = "certificate required"
_HANDSHAKE: Final = 22
_CERTIFICATE_REQUEST: Final = 13
_READ: Final = 16384
#: How long the alert may take once the handshake is over.
_WAIT_SECONDS: Final = 1.0


class HandshakeWatch:
    """Reads what a server says in the clear: is it asked for a certificate there?

    Attributes:
        is_asked: a CertificateRequest was seen.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._records = bytearray()
        self._messages = bytearray()
        self._is_over = False

    def feed(self, data: bytes) -> None:
        """Bytes as they came, in any pieces."""
        self._records += data
        while not self._is_over and len(self._records) >= 5:
            kind, length = self._records[0], int.from_bytes(self._records[3:5], "big")
            if kind != _HANDSHAKE:
                self._is_over = True  # an alert, or what follows is encrypted
                return
            if len(self._records) < 5 + length:
                return
            self._messages += self._records[5 : 5 + length]
            del self._records[: 5 + length]
            self._look()

    def _look(self) -> None:
        while len(self._messages) >= 4:
            length = int.from_bytes(self._messages[1:4], "big")
            if len(self._messages) < 4 + length:
                return
            self.is_asked = self.is_asked or self._messages[0] == _CERTIFICATE_REQUEST
            del self._messages[: 4 + length]


async def wants_certificate(sock: socket.socket, context: ssl.SSLContext, name: str) -> bool:
    """Whether the server refuses a client for having no certificate; nothing is sent but the handshake.

    Args:
        sock: connected and non-blocking; closed here.
        name: the server's, for SNI.
    """
    loop, watch = asyncio.get_running_loop(), HandshakeWatch()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    is_done = False
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            while True:
                try:
                    if is_done:
                        session.read(_READ)
                    else:
                        session.do_handshake()
                        is_done = True
                    continue
                except ssl.SSLWantReadError:
                    pass
                finally:
                    if outgoing.pending:
                        await loop.sock_sendall(sock, outgoing.read())
                data = await loop.sock_recv(sock, _READ)
                if not data:
                    return watch.is_asked and not is_done
                watch.feed(data)
                incoming.write(data)
    except ssl.SSLError as error:
        words = (error.reason or str(error)).lower().replace("_", " ")
        return REQUIRED in words or (watch.is_asked and "handshake failure" in words)
    except TimeoutError:
        return False
    except OSError:
        return watch.is_asked and not is_done  # hung up on, without an alert
    finally:
        sock.close()
