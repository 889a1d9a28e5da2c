"""The page that somebody sees who opens the proxy's own address, or http://mitm.it through it, in a browser.

`Welcome` is a mitmproxy addon. It answers GET and HEAD of plain HTTP for the proxy itself, which has no other
answer; what is for a server passes. The page says what this is, how to trust the CA, and what to do next. It
needs nothing else: no script, no other file but the certificate (its Content-Security-Policy says so).
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from mitmproxy import http
from mitmproxy.proxy.mode_specs import RegularMode, UpstreamMode

from wsinspect.net import Address
from wsinspect.version import __version__

#: The name that mitmproxy's users know: any proxy answers it.
HOST: Final = "mitm.it"
CERTIFICATE: Final = "/cert.pem"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_NOT_YET: Final = (
    "This page was asked for as if the proxy were a server. Set <code>{}</code> as the HTTP proxy of a "
    "browser or client, also for HTTPS:"
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>wsinspect</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 44rem; margin: 2rem auto; padding: 0 1rem }}
code, pre {{ font: 0.9rem/1.5 ui-monospace, monospace }}
pre {{ overflow-x: auto; padding: 0.5rem 0.75rem; border: 1px solid }}
</style>
</head>
<body>
<h1>wsinspect {version}</h1>
<p>This is a WebSocket debugging proxy. It records every WebSocket that goes through it, and says which side
broke a connection.</p>
<h2>{works}</h2>
<p>{next_step}</p>
<pre>wsinspect browser https://example.com/   # a browser that already uses it
curl --proxy http://{address} http://example.com/</pre>
<h2>HTTPS and wss</h2>
<p>The proxy reads TLS with certificates of its own, so clients have to trust its authority:
<a href="{certificate}">download the certificate</a>. Trust it only on a machine that you test with.
<code>wsinspect ca</code> prints the steps for each system, browser and language, and how to undo them.</p>
<h2>See the traffic</h2>
<pre>wsinspect open       # the timeline, live
wsinspect show       # connections as text
wsinspect diagnose   # what went wrong, where, and the fix</pre>
</body>
</html>
"""


class Welcome:
    """See the module docstring.

    Args:
        authority: the folder of the CA.
    """

    def __init__(self, authority: Path) -> None:
        self._certificate = authority / "mitmproxy-ca-cert.pem"

    def request(self, flow: http.HTTPFlow) -> None:
        """mitmproxy's hook: answer what is for the proxy itself, but for a WebSocket, which has findings."""
        request = flow.request
        if flow.response is not None or request.method not in ("GET", "HEAD") or "Upgrade" in request.headers:
            return
        is_by_name = request.host == HOST
        if not is_by_name and not self._is_for_us(flow):
            return
        status, kind, more = 200, "text/html; charset=utf-8", {}
        path = request.path.partition("?")[0]
        if path == "/":
            content = self._page(flow, is_by_name=is_by_name)
        elif path == CERTIFICATE and self._certificate.is_file():
            content, kind = self._certificate.read_bytes(), "application/x-x509-ca-cert"
            more = {"Content-Disposition": 'attachment; filename="wsinspect-ca.pem"'}
        else:
            status, kind = 404, "text/plain; charset=utf-8"
            content = b"This is wsinspect, a proxy and not a server. / says how to use it.\n"
        headers = {"Content-Type": kind, **_HEADERS, **more}
        flow.response = http.Response.make(status, b"" if request.method == "HEAD" else content, headers)
        flow.response.headers["Content-Length"] = str(len(content))

    @staticmethod
    def _is_for_us(flow: http.HTTPFlow) -> bool:
        """Whether the request names this very listener, which is a proxy and not a server."""
        if not isinstance(flow.client_conn.proxy_mode, RegularMode | UpstreamMode):
            return False
        host, port = flow.client_conn.sockname[:2]
        asked = flow.request.host.strip("[]")
        return flow.request.port == port and (asked == host or (asked in _LOOPBACK and host in _LOOPBACK))

    @staticmethod
    def _page(flow: http.HTTPFlow, *, is_by_name: bool) -> bytes:
        address = Address(*flow.client_conn.sockname[:2])
        works, next_step = "Not used as a proxy yet", _NOT_YET.format(escape(str(address)))
        if is_by_name:
            works, next_step = "It works", "This client goes through the proxy. Others can do so, too:"
        return _PAGE.format(
            version=escape(__version__),
            works=works,
            next_step=next_step,
            address=escape(str(address)),
            certificate=CERTIFICATE if not is_by_name else f"http://{HOST}{CERTIFICATE}",
        ).encode()
