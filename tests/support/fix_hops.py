"""Hops with a fault, and the same with the lines that a finding prints for it.

Each function starts a hop of (folder, the application's port, the lines or None); without lines the fault is
in the configuration.
"""

import json
import re

from ruamel.yaml import YAML

from tests.support.hops import LOOPBACK, apache, caddy, envoy, haproxy, nginx
from wsinspect.findings.fixes import FIXES

#: What makes nginx carry an upgrade, without Host.
CARRY = """proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;"""
APACHE = 'ProxyPass "/ws" "http://APP/ws" upgrade=websocket'
HOST = "proxy_set_header Host $http_host;"


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


#: A rule of the firewall that refuses what it does not know, in the phase of the request's header.
SEC_RULE = (
    'SecRuleEngine On\nSecRule REQUEST_HEADERS:Upgrade "@streq websocket" "id:1,phase:1,deny,status:403"\n'
)
#: What loads ModSecurity 3 into Debian's nginx, and ModSecurity 2 into its Apache.
NGINX_WAF = "".join(
    f"load_module /usr/lib/nginx/modules/{name}_module.so;\n" for name in ("ndk_http", "ngx_http_modsecurity")
)
APACHE_WAF = ("unique_id", "security2")


def nginx_waf(folder, app, fix, rules=SEC_RULE):
    """The firewall on in the whole server, where it belongs."""
    folder.mkdir(parents=True)
    (folder / "rules.conf").write_text(rules)
    place = f"location /ws {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} {HOST}\n{fix or ''}\n}}"
    server = f"modsecurity on; modsecurity_rules_file {folder}/rules.conf;"
    return nginx(folder, place, server=server, main=NGINX_WAF)


def apache_waf(folder, app, fix, rules=SEC_RULE):
    proxied = APACHE.replace("APP", f"{LOOPBACK}:{app}")
    return apache(folder, f"{fix or ''}\n{rules}\nProxyPreserveHost On\n{proxied}", modules=APACHE_WAF)


def caddy_waf(folder, app, fix):
    """Debian's Caddy has no firewall: a handler that refuses all stands for it, in the printed matcher."""
    handler = "respond 403"
    site = f"route {{\n{handler}\n}}" if fix is None else fix.replace("coraza_waf { ... }", handler)
    assert fix is None or handler in site
    return caddy(folder, f"{site}\nreverse_proxy {LOOPBACK}:{app}")


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


def apache_sticky(folder, text, _):
    """The balancer takes the place of the one without routes."""
    modules = ["proxy_balancer", "lbmethod_byrequests", "slotmem_shm", "env"]
    return apache(folder, f'{text}\nProxyPass "/" "balancer://app/"', modules=modules)


def nginx_redirect(folder, app, fix):
    """The fix serves the path before the redirect to https."""
    assert fix is None or "location /ws on port 80 before return 301" in fix, fix
    place = "location / { return 301 https://$host$request_uri; }"
    carry = f"location /ws {{ proxy_pass http://{LOOPBACK}:{app}; {CARRY} }}"
    return nginx(folder, place if fix is None else carry + place)


def _http2_cluster():
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    typed = {
        "@type": f"type.googleapis.com/{kind}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {"typed_extension_protocol_options": {kind: typed}}


def envoy_cluster(folder, app, faulty):
    """A cluster that speaks HTTP/2 to a server of HTTP/1.1."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}
    return envoy(folder, [route], {"app": app}, cluster=_http2_cluster() if faulty else None)


def _envoy_filter(name, kind, config):
    api = "type.googleapis.com/envoy.extensions.filters.http"
    router = {"@type": f"{api}.router.v3.Router"}
    return [
        {"name": name, "typed_config": {"@type": f"{api}.{kind}", **config}},
        {"name": "envoy.filters.http.router", "typed_config": router},
    ]


def envoy_access(folder, app, fix):
    """The filter allows what a policy names; the fix is such a policy."""
    name, allowed = "envoy.filters.http.rbac", {}
    if fix is not None:
        assert name in fix, fix
        assert "a policy has to allow this path and principal" in fix, fix
        path = {"url_path": {"path": {"prefix": "/ws"}}}
        allowed = {"sockets": {"permissions": [path], "principals": [{"any": True}]}}
    filters = _envoy_filter(name, "rbac.v3.RBAC", {"rules": {"action": "ALLOW", "policies": allowed}})
    manager = {"upgrade_configs": [{"upgrade_type": "websocket"}], "http_filters": filters}
    return envoy(
        folder, [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}], {"app": app}, manager=manager
    )


def envoy_query(folder, app, fix):
    """A filter takes the token away; what the fix says about rewrites is so."""
    manager = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    rewrite = {}
    if fix is None:
        mutations = {"query_parameter_mutations": [{"remove": "token"}]}
        name, kind = "envoy.filters.http.header_mutation", "header_mutation.v3.HeaderMutation"
        manager["http_filters"] = _envoy_filter(name, kind, {"mutations": mutations})
    else:
        assert "No query_parameter_mutations that remove it" in fix, fix
        assert "regex_rewrite and path_rewrite_policy keep it" in fix, fix
        pattern = {"pattern": {"regex": "^/ws/(.*)$"}, "substitution": "/app/\\1"}
        rewrite = {"regex_rewrite": pattern}
    route = {"cluster": "app", **rewrite}
    return envoy(folder, [{"match": {"prefix": "/"}, "route": route}], {"app": app}, manager=manager)


def envoy_sticky(folder, app, fix):
    """Two endpoints in turns; the fix names a filter that remembers one by a cookie."""
    name = "envoy.filters.http.stateful_session"
    manager = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    if fix is not None:
        assert f"{name} with a cookie" in fix, fix
        kind = "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState"
        cookie = {
            "@type": f"type.googleapis.com/{kind}",
            "cookie": {"name": "server", "path": "/", "ttl": "120s"},
        }
        state = {"name": "envoy.http.stateful_session.cookie", "typed_config": cookie}
        manager["http_filters"] = _envoy_filter(
            name, "stateful_session.v3.StatefulSession", {"session_state": state}
        )
    places = [
        {"endpoint": {"address": {"socket_address": {"address": LOOPBACK, "port_value": port}}}}
        for port in (app, app.other)
    ]
    assignment = {"cluster_name": "app", "endpoints": [{"lb_endpoints": places}]}
    return envoy(
        folder,
        [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
        {"app": app},
        manager=manager,
        cluster={"load_assignment": assignment},
    )


# -- logs that a fix names: each starts a hop that refuses `/ws`, and reads the reason there


def nginx_says(folder, fix):
    line = re.match(r"error_log \S+ (\w+);", fix or "error_log x crit;")
    assert line is not None, fix
    log = folder / "why.log"
    refusing = "location /ws { satisfy all; allow 192.0.2.1; deny all; }"
    return nginx(folder, refusing, server=f"error_log {log} {line[1]};"), log.read_text


def nginx_says_of_500(folder, fix):
    assert fix is None or fix.startswith("error.log says why nginx itself answered 500"), fix
    return nginx(folder, "location /ws { rewrite ^ /ws; }"), (folder / "error.log").read_text


def apache_says(folder, fix):
    level = re.match(r"LogLevel (\w+);", fix or "LogLevel emerg;")
    assert level is not None, fix
    rules = f'LogLevel {level[1]}\n<Location "/ws">\nRequire all denied\n</Location>'
    return apache(folder, rules), (folder / "error.log").read_text


def caddy_says(folder, fix):
    log = folder / "hop.log"
    return caddy(folder, f"{'log' if fix else ''}\nrespond /ws* 403"), log.read_text


def envoy_says(folder, fix):
    kind = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    flags = re.match(r"%RESPONSE_FLAGS%", fix or "")
    text = f"why: {flags[0] if flags else ''}\n"
    log = {
        "name": "stdout",
        "typed_config": {"@type": kind, "log_format": {"text_format_source": {"inline_string": text}}},
    }
    hop = envoy(folder, [], {}, manager={"access_log": [log]})
    return hop, (folder / "hop.log").read_text


# -- hops that look for one way to write Connection


def nginx_list(folder, app, fix):
    line = (
        (fix or "if ($http_connection = Upgrade) { ... }").partition("   #")[0].replace("...", "set $ok 1;")
    )
    guard = f"set $ok 0; {line} if ($ok = 0) {{ return 400; }}"
    return nginx(folder, f"location /ws {{ {guard} proxy_pass http://{LOOPBACK}:{app}; {CARRY} }}")


def apache_list(folder, app, fix):
    line = fix or "RewriteCond %{HTTP:Connection} ^Upgrade$ [NC]"
    rule = f"RewriteRule ^/ws(.*)$ ws://{LOOPBACK}:{app}/ws$1 [P]"
    return apache(folder, f"RewriteEngine On\n{line}\n{rule}")


def caddy_list(folder, app, fix):
    line = fix or "header Connection Upgrade"
    proxied = f"handle @socket {{\nreverse_proxy {LOOPBACK}:{app}\n}}"
    return caddy(folder, f"@socket {{\n{line}\n}}\n{proxied}\nhandle {{\nrespond 400\n}}")
