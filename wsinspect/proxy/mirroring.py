"""What a client is offered by ALPN: what its server would choose. A mitmproxy addon.

Stock mitmproxy's lazy strategy answers a client's TLS before there is a server, so it takes h2 for a server
that speaks HTTP/1.1 alone, and what a WebSocket may use (RFC 8441) is not known when its client asks. Here a
client that offers h2 waits until the server has answered the same offer.
"""

from __future__ import annotations

from mitmproxy import tls


class AlpnMirror:
    """See the module docstring."""

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """mitmproxy's hook; it comes behind `TlsConfig`'s, which decides by the connection strategy."""
        context = data.context
        if b"h2" not in data.client_hello.alpn_protocols or not context.server.address:
            return
        if context.server.tls:
            data.establish_server_tls_first = True
        else:
            # Nothing but HTTP/1.1 is spoken without TLS.
            context.client.alpn = b"http/1.1"
