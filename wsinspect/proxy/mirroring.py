"""What a client is offered: by ALPN what its server would choose, and HTTP/3 or not. Addons of mitmproxy.

Stock mitmproxy's lazy strategy answers a client's TLS before there is a server, so it takes h2 for a server
that speaks HTTP/1.1 alone, and what a WebSocket may use (RFC 8441) is not known when its client asks. Here a
client that offers h2 waits until the server has answered the same offer. Where HTTP versions are bridged,
each side gets the newest version that it speaks.
"""

from __future__ import annotations

from mitmproxy import http, tls
from mitmproxy.proxy import mode_specs

from wsinspect.proxy.connections import ConnectionEvents
from wsinspect.proxy.seams.bridging import offers_for
from wsinspect.proxy.seams.http2 import strip_alt_svc


class AlpnMirror:
    """See the module docstring."""

    def __init__(self, *, bridges: bool) -> None:
        self._bridges = bridges

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """mitmproxy's hook; it comes behind `TlsConfig`'s, which decides by the connection strategy."""
        context = data.context
        if b"h2" not in data.client_hello.alpn_protocols or not context.server.address:
            return
        if self._bridges:
            context.client.alpn = b"h2"
        elif context.server.tls:
            data.establish_server_tls_first = True
        else:
            # Nothing but HTTP/1.1 is spoken without TLS.
            context.client.alpn = b"http/1.1"

    def tls_start_server(self, data: tls.TlsData) -> None:
        """mitmproxy's hook, behind `TlsConfig`'s: what a server is offered."""
        if self._bridges and data.ssl_conn is not None and data.conn == data.context.server:
            data.conn.alpn_offers = offers_for(data.conn)
            data.ssl_conn.set_alpn_protos(list(data.conn.alpn_offers))


class HttpThreeOffers:
    """Reports `Alt-Svc: h3` (RFC 7838, RFC 9114 section 3.1.1), and takes it away where that is asked for.

    A browser that is configured for a proxy does not leave it, so only responses through other modes are
    reported.
    """

    def __init__(self, connections: ConnectionEvents, *, strips: bool) -> None:
        self._connections = connections
        self._strips = strips
        if strips:
            strip_alt_svc()

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response
        value = flow.response.headers.get("alt-svc", "")
        if "h3" not in value:
            return
        if self._strips:
            del flow.response.headers["alt-svc"]
        mode = flow.client_conn.proxy_mode
        if self._strips or not isinstance(
            mode, mode_specs.RegularMode | mode_specs.UpstreamMode | mode_specs.Socks5Mode
        ):
            self._connections.alt_svc(flow, value, is_stripped=self._strips)
