"""The hops of the matrix (tests/integration/test_matrix_hops.py): what each does on which path.

Every hop passes `/` on as it should. Below `/hop/<route>/` it does one thing more, in its own configuration
language; a hop that cannot do it has no such route, and then the cell does not exist.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, apache, caddy, envoy, haproxy, nginx


@dataclass(frozen=True)
class Behind:
    """What stands behind a hop, as ports of this machine.

    Attributes:
        origin: the tap before the application.
        dead: a tap before a port where nothing listens.
        gone: a port where nothing listens.
        tls: a server with a certificate from an unknown CA.
        authority: a CA that did not sign it.
    """

    origin: int
    dead: int
    gone: int
    tls: int
    authority: Path


#: Starts a hop with these routes, each in its own configuration language.
Make = Callable[[Path, Behind, Any], Hop]


@dataclass(frozen=True)
class Kind:
    """A hop of the matrix.

    Attributes:
        name: as findings have it.
        make: starts one with some of its routes.
        texts: its routes.
        retire: the signal by which an operator stops it softly: open sockets get a second, or none at all.
            None where they may take as long as they like.
    """

    name: str
    make: Make
    texts: Mapping[str, Any]
    retire: signal.Signals | None = None

    @property
    def routes(self) -> frozenset[str]:
        """Those that it has."""
        return frozenset(self.texts)

    def start(self, folder: Path, behind: Behind, names: Collection[str] | None = None) -> Hop:
        """One with these routes, or all of them."""
        kept = {name: text for name, text in self.texts.items() if names is None or name in names}
        return self.make(folder, behind, kept)


_NGINX: Mapping[str, str] = {
    "302": "return 302 /login;",
    "401": "return 401;",
    "403": "deny all;",
    "404": "return 404;",
    "405": "return 405;",
    "413": "return 413;",
    "421": "return 421;",
    "503": "return 503;",
    "hang-up": "return 444;",
    "426": "return 426;",
    "429": "return 429;",
    "500": "return 500;",
    "page": "default_type text/html; return 200 '<!doctype html><title>app</title>';",
    "stripped": "proxy_pass http://{origin};",
    "host": "proxy_pass http://{origin}; {good} proxy_set_header Host app.internal;",
    "origin": "proxy_pass http://{origin}; {good} proxy_set_header Origin http://app.internal;",
    "rewritten": "proxy_pass http://{origin}/api/; {good}",
    "query": "rewrite ^(.*)$ $1? break; proxy_pass http://{origin}; {good}",
    "cookie": "proxy_pass http://{origin}; {good} proxy_set_header Cookie '';",
    "authorization": "proxy_pass http://{origin}; {good} proxy_set_header Authorization '';",
    "subprotocol": "proxy_pass http://{origin}; {good} proxy_set_header Sec-WebSocket-Protocol '';",
    "version": "proxy_pass http://{origin}; {good} proxy_set_header Sec-WebSocket-Version '';",
    "key": "proxy_pass http://{origin}; {good} proxy_set_header Sec-WebSocket-Key '';",
    "new-key": "proxy_pass http://{origin}; {good}"
    " proxy_set_header Sec-WebSocket-Key dGhlIHNhbXBsZSBub25jZQ==;",
    "http10": "proxy_pass http://{origin}; {good} proxy_http_version 1.0;",
    "dead": "proxy_pass http://{dead}; {good}",
    "gone": "proxy_pass http://{gone}; {good}",
    "tls": "proxy_pass https://{tls}; {good} proxy_ssl_verify on; proxy_ssl_trusted_certificate {authority};",
    "slow": "proxy_pass http://{origin}; {good} proxy_read_timeout 1s;",
    "idle": "proxy_pass http://{origin}; {good} proxy_read_timeout 2s;",
    "extensions": "proxy_pass http://{origin}; {good} proxy_hide_header Sec-WebSocket-Extensions;",
    "forwarded": "proxy_pass http://{origin}; {good} proxy_set_header X-Forwarded-For $remote_addr;",
    "covered": "proxy_pass http://{origin}; {good} proxy_intercept_errors on;"
    " error_page 404 =200 /hop/page/;",
}


def _ports(behind: Behind) -> dict[str, str]:
    places = {name: f"{LOOPBACK}:{getattr(behind, name)}" for name in ("origin", "dead", "gone", "tls")}
    return {**places, "authority": str(behind.authority), "good": NGINX_GOOD}


def _filled(text: str, behind: Behind) -> str:
    for name, value in _ports(behind).items():
        text = text.replace("{" + name + "}", value)
    return text


def _nginx(folder: Path, behind: Behind, routes: Mapping[str, str]) -> Hop:
    good = "proxy_pass http://{origin}; {good}"
    # One proxy_set_header of a name is enough: nginx would send both.
    blocks = []
    for place, text in [("/", good), *((f"/hop/{name}/", text) for name, text in routes.items())]:
        common = NGINX_GOOD
        for line in NGINX_GOOD.strip().splitlines():
            setting = " ".join(line.split()[:2]) if "header" in line else line.split()[0]
            if f"{setting} " in text:
                common = common.replace(line, "")
        blocks.append(f"location {place} {{ {_filled(text.replace('{good}', common), behind)} }}")
    return nginx(folder, "\n".join(blocks), main="worker_shutdown_timeout 1s;")


#: (in the frontend, in the backend of its own; none is the common one)
_HAPROXY: Mapping[str, tuple[str, str]] = {
    "302": ("http-request redirect location /login code 302 if { path_beg /hop/302/ }", ""),
    "401": ("http-request deny deny_status 401 if { path_beg /hop/401/ }", ""),
    "403": ("http-request deny deny_status 403 if { path_beg /hop/403/ }", ""),
    "404": ("http-request deny deny_status 404 if { path_beg /hop/404/ }", ""),
    "hang-up": ("http-request reject if { path_beg /hop/hang-up/ }", ""),
    "405": ("http-request deny deny_status 405 if { path_beg /hop/405/ }", ""),
    "413": ("http-request deny deny_status 413 if { path_beg /hop/413/ }", ""),
    "503": ("http-request deny deny_status 503 if { path_beg /hop/503/ }", ""),
    "429": ("http-request deny deny_status 429 if { path_beg /hop/429/ }", ""),
    "500": ("http-request deny deny_status 500 if { path_beg /hop/500/ }", ""),
    "421": ("http-request return status 421 if { path_beg /hop/421/ }", ""),
    "426": ("http-request return status 426 if { path_beg /hop/426/ }", ""),
    "page": (
        'http-request return status 200 content-type text/html string "<!doctype html><title>app</title>"'
        " if { path_beg /hop/page/ }",
        "",
    ),
    "stripped": ("", "http-request del-header Upgrade\n    server app {origin}"),
    "host": ("", "http-request set-header Host app.internal\n    server app {origin}"),
    "origin": ("", "http-request set-header Origin http://app.internal\n    server app {origin}"),
    "rewritten": ("", "http-request replace-path /hop/rewritten/(.*) /api/\\1\n    server app {origin}"),
    "query": ("", "http-request set-uri %[path]\n    server app {origin}"),
    "cookie": ("", "http-request del-header Cookie\n    server app {origin}"),
    "authorization": ("", "http-request del-header Authorization\n    server app {origin}"),
    "subprotocol": ("", "http-request del-header Sec-WebSocket-Protocol\n    server app {origin}"),
    "version": ("", "http-request del-header Sec-WebSocket-Version\n    server app {origin}"),
    "empty-protocol": (
        "",
        "http-request set-header Sec-WebSocket-Protocol %[req.hdr(x-none)]\n    server app {origin}",
    ),
    "forwarded-twice": (
        "",
        "http-request add-header X-Forwarded-For 192.0.2.1\n"
        "    http-request add-header X-Forwarded-For 192.0.2.2\n    server app {origin}",
    ),
    "bare-101": ("", "http-response del-header Upgrade\n    server app {origin}"),
    "accept": ("", "http-response set-header Sec-WebSocket-Accept nothing\n    server app {origin}"),
    "dead": ("", "server app {dead}"),
    "gone": ("", "server app {gone}"),
    "tls": ("", "server app {tls} ssl verify required ca-file {authority}"),
    "slow": ("", "timeout server 1s\n    server app {origin}"),
    "idle": ("", "timeout tunnel 2s\n    server app {origin}"),
    "extensions": ("", "http-response del-header Sec-WebSocket-Extensions\n    server app {origin}"),
    "forwarded": ("", "option forwardfor\n    server app {origin}"),
    "covered": (
        "",
        'http-response return status 200 content-type text/html string "<!doctype html>Sorry"'
        " if { status 404 }\n    server app {origin}",
    ),
}


def _haproxy(folder: Path, behind: Behind, routes: Mapping[str, tuple[str, str]]) -> Hop:
    own = {name: text for name, (_, text) in routes.items() if text}
    front = [text for text, _ in routes.values() if text]
    front += [f"use_backend {name} if {{ path_beg /hop/{name}/ }}" for name in own]
    back = [f"backend {name}\n    {_filled(text, behind)}" for name, text in own.items()]
    main = "\n".join([f"server app {LOOPBACK}:{behind.origin}", *back])
    return haproxy(folder, main, frontend="\n    ".join(front), main="hard-stop-after 1s")


#: (ProxyPass of the path, other directives of the location, or of the server)
_APACHE: Mapping[str, tuple[str, str]] = {
    "302": ("!", "Redirect 302 /hop/302/ /login"),
    "401": ("!", "Redirect 401 /hop/401/"),
    "403": ("!", "Require all denied"),
    "404": ("!", "Redirect 404 /hop/404/"),
    "405": ("!", "Redirect 405 /hop/405/"),
    "413": ("!", "Redirect 413 /hop/413/"),
    "421": ("!", "Redirect 421 /hop/421/"),
    "503": ("!", "Redirect 503 /hop/503/"),
    "426": ("!", "Redirect 426 /hop/426/"),
    "429": ("!", "Redirect 429 /hop/429/"),
    "500": ("!", "Redirect 500 /hop/500/"),
    "page": ("!", "SetHandler server-status"),
    "stripped": ("http://{origin}/hop/stripped/", ""),
    "host": ("http://{origin}/hop/host/ upgrade=websocket", "RequestHeader set Host app.internal"),
    "origin": (
        "http://{origin}/hop/origin/ upgrade=websocket",
        "RequestHeader set Origin http://app.internal",
    ),
    "rewritten": ("http://{origin}/api/ upgrade=websocket", ""),
    "cookie": ("http://{origin}/hop/cookie/ upgrade=websocket", "RequestHeader unset Cookie"),
    "authorization": (
        "http://{origin}/hop/authorization/ upgrade=websocket",
        "RequestHeader unset Authorization",
    ),
    "subprotocol": (
        "http://{origin}/hop/subprotocol/ upgrade=websocket",
        "RequestHeader unset Sec-WebSocket-Protocol",
    ),
    "version": (
        "http://{origin}/hop/version/ upgrade=websocket",
        "RequestHeader unset Sec-WebSocket-Version",
    ),
    "key": (
        "http://{origin}/hop/key/ upgrade=websocket",
        "RequestHeader unset Sec-WebSocket-Key",
    ),
    "new-key": (
        "http://{origin}/hop/new-key/ upgrade=websocket",
        "RequestHeader set Sec-WebSocket-Key dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "dead": ("http://{dead}/hop/dead/ upgrade=websocket", ""),
    "gone": ("http://{gone}/hop/gone/ upgrade=websocket", ""),
    "tls": ("https://{tls}/hop/tls/ upgrade=websocket", ""),
    "slow": ("http://{origin}/hop/slow/ upgrade=websocket timeout=1", ""),
    # The tunnel waits for the longer of the worker's timeout and Timeout.
    "idle": ("http://{origin}/hop/idle/ upgrade=websocket timeout=2", "Timeout 2"),
    # Apache adds X-Forwarded-For to all requests.
    "forwarded": ("http://{origin}/hop/forwarded/ upgrade=websocket", ""),
    "covered": ("http://{origin}/hop/covered/ upgrade=websocket", "ProxyErrorOverride On"),
}


def _apache(folder: Path, behind: Behind, routes: Mapping[str, tuple[str, str]]) -> Hop:
    # The first ProxyPass that fits counts.
    lines = [f"ProxyPass /hop/{name}/ {target}" for name, (target, _) in routes.items()]
    lines.append("ProxyPass / http://{origin}/ upgrade=websocket")
    for name, (_, more) in routes.items():
        where = (
            ("", "")
            if more.startswith(("Redirect", "Timeout"))
            else (f"<Location /hop/{name}/>\n", "\n</Location>")
        )
        lines.append(f"{where[0]}{more}{where[1]}" if more else "")
    # All clients come at once, each occupies a thread, and httpd starts one more process a second.
    lines.append("StartServers 4")
    tls = "SSLProxyEngine On\nSSLProxyVerify require\nSSLProxyCACertificateFile {authority}"
    text = _filled("\n".join(["ProxyPreserveHost On", tls, *lines]), behind)
    return apache(folder, text, modules=["status"])


_CADDY: Mapping[str, str] = {
    "302": "redir * /login 302",
    "401": "respond 401",
    "403": "respond 403",
    "404": "respond 404",
    "405": "respond 405",
    "413": "respond 413",
    "421": "respond 421",
    "503": "respond 503",
    "426": "respond 426",
    "429": "respond 429",
    "500": "respond 500",
    "page": 'header Content-Type text/html\nrespond "<!doctype html><title>app</title>"',
    "stripped": "reverse_proxy {origin} {\nheader_up -Upgrade\nheader_up -Connection\n}",
    "host": "reverse_proxy {origin} {\nheader_up Host app.internal\n}",
    "origin": "reverse_proxy {origin} {\nheader_up Origin http://app.internal\n}",
    "rewritten": "uri replace /hop/rewritten /api\nreverse_proxy {origin}",
    "query": "rewrite * {path}?\nreverse_proxy {origin}",
    "cookie": "reverse_proxy {origin} {\nheader_up -Cookie\n}",
    "authorization": "reverse_proxy {origin} {\nheader_up -Authorization\n}",
    "subprotocol": "reverse_proxy {origin} {\nheader_up -Sec-Websocket-Protocol\n}",
    "version": "reverse_proxy {origin} {\nheader_up -Sec-Websocket-Version\n}",
    "key": "reverse_proxy {origin} {\nheader_up -Sec-Websocket-Key\n}",
    "new-key": "reverse_proxy {origin} {\nheader_up Sec-Websocket-Key dGhlIHNhbXBsZSBub25jZQ==\n}",
    "dead": "reverse_proxy {dead}",
    "gone": "reverse_proxy {gone}",
    "tls": "reverse_proxy {tls} {\ntransport http {\ntls\ntls_trusted_ca_certs {authority}\n}\n}",
    "slow": "reverse_proxy {origin} {\ntransport http {\nresponse_header_timeout 1s\n}\n}",
    "covered": "reverse_proxy {origin} {\n@gone status 404\nhandle_response @gone {\n"
    'header Content-Type text/html\nrespond "<!doctype html>Sorry" 200\n}\n}',
    "forwarded": "reverse_proxy {origin}",  # it adds X-Forwarded-For to all requests
}


def _caddy(folder: Path, behind: Behind, routes: Mapping[str, str]) -> Hop:
    blocks = [f"handle /hop/{name}/* {{\n{_filled(text, behind)}\n}}" for name, text in routes.items()]
    return caddy(folder, "\n".join([*blocks, f"handle {{\nreverse_proxy {LOOPBACK}:{behind.origin}\n}}"]))


def _to(cluster: str = "origin", **more: Any) -> dict[str, Any]:
    return {"route": {"cluster": cluster, "timeout": "30s", **more.pop("route", {})}, **more}


#: A filter that does nothing but on the route that says so.
_MUTATION = "envoy.filters.http.header_mutation"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
_ENVOY: Mapping[str, dict[str, Any]] = {
    "302": {"redirect": {"path_redirect": "/login", "response_code": "FOUND"}},
    "401": {"direct_response": {"status": 401}},
    "403": _to(route={"upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}]}),
    "404": {"direct_response": {"status": 404}},
    "405": {"direct_response": {"status": 405}},
    "413": {"direct_response": {"status": 413}},
    "421": {"direct_response": {"status": 421}},
    "503": {"direct_response": {"status": 503}},
    "426": {"direct_response": {"status": 426}},
    "429": {"direct_response": {"status": 429}},
    "500": {"direct_response": {"status": 500}},
    "page": {
        "direct_response": {"status": 200, "body": {"inline_string": "<!doctype html><title>app</title>"}},
        "response_headers_to_add": [{"header": {"key": "Content-Type", "value": "text/html"}}],
    },
    "host": _to(route={"host_rewrite_literal": "app.internal"}),
    "origin": _to(
        request_headers_to_add=[
            {
                "header": {"key": "Origin", "value": "http://app.internal"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ]
    ),
    "rewritten": _to(route={"prefix_rewrite": "/api/"}),
    "query": _to(
        typed_per_filter_config={
            _MUTATION: {
                "@type": f"{_FILTERS}.header_mutation.v3.HeaderMutationPerRoute",
                "mutations": {"query_parameter_mutations": [{"remove": "token"}]},
            }
        }
    ),
    "cookie": _to(request_headers_to_remove=["cookie"]),
    "authorization": _to(request_headers_to_remove=["authorization"]),
    "subprotocol": _to(request_headers_to_remove=["sec-websocket-protocol"]),
    "version": _to(request_headers_to_remove=["sec-websocket-version"]),
    "key": _to(request_headers_to_remove=["sec-websocket-key"]),
    "dead": _to("dead"),
    "gone": _to("gone"),
    "tls": _to("tls"),
    "slow": _to(route={"timeout": "1s"}),
    "idle": _to(route={"timeout": "0s", "idle_timeout": "2s"}),
    "lifetime": _to(route={"timeout": "0s", "max_stream_duration": {"max_stream_duration": "2.5s"}}),
    "extensions": _to(response_headers_to_remove=["sec-websocket-extensions"]),
    "forwarded": _to(
        request_headers_to_add=[{"header": {"key": "X-Forwarded-For", "value": "192.0.2.1"}}],
    ),
}


def _envoy(folder: Path, behind: Behind, routes: Mapping[str, dict[str, Any]]) -> Hop:
    own = [{"match": {"prefix": f"/hop/{name}/"}, **one} for name, one in routes.items()]
    clusters = {name: getattr(behind, name) for name in ("origin", "dead", "gone", "tls")}
    return envoy(
        folder,
        [*own, {"match": {"prefix": "/"}, **_to()}],
        clusters,
        manager={
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "http_filters": [
                {
                    "name": _MUTATION,
                    "typed_config": {"@type": f"{_FILTERS}.header_mutation.v3.HeaderMutation"},
                },
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_FILTERS}.router.v3.Router"},
                },
            ],
        },
        tls={"tls": behind.authority},
    )


#: HAProxy makes a key where none is left (h1_generate_random_ws_input_key in its src/h1.c), so it loses none.
#: A new hop is one line here, with its routes above. A route that is missing is one that the hop cannot have:
#: of these only Envoy has a limit on the lifetime of a tunnel (nginx and Apache have none, HAProxy's
#: hard-stop-after counts from a soft stop, `retire`, and Caddy's stream_timeout is newer than Debian's 2.6).
KINDS = {
    "nginx": Kind("nginx", _nginx, _NGINX, signal.SIGQUIT),
    "haproxy": Kind("HAProxy", _haproxy, _HAPROXY, signal.SIGUSR1),
    "apache": Kind("Apache httpd", _apache, _APACHE),
    "caddy": Kind("Caddy", _caddy, _CADDY, signal.SIGTERM),
    "envoy": Kind("Envoy", _envoy, _ENVOY, signal.SIGTERM),
}
