"""Which line explains a finding: the surest first, then what depends on what is not known, never more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.configurations import git_applies, judgement, read_in
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.target import parse_target
from wsinspect.findings.model import Cause

NGINX = """events {}
http {
    upstream app { server 127.0.0.1:3000; }
    limit_conn_zone $binary_remote_addr zone=addr:1m;
    server {
        listen 443 ssl default_server;
        ssl_reject_handshake on;
    }
    server {
        listen 443 ssl;
        server_name app.example;
        large_client_header_buffers 2 1k;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;
        location /closed { return 444; }
        location /limited { limit_conn addr 1; proxy_pass http://app; }
        location /asked {
            if ($remote_addr ~ ^10) {
                return 403;
            }
            proxy_pass http://app;
        }
        location /moved {
            rewrite ^/moved(.*)$ /elsewhere$1 break;
            proxy_pass http://app;
        }
        location = /exact { proxy_pass http://app; }
        location /exact/ { return 404; }
        location /inside {
            internal;
            proxy_pass http://app;
        }
        location /posted {
            limit_except POST {
                deny all;
            }
            proxy_pass http://app;
        }
        location /read {
            limit_except GET { deny all; }
            proxy_pass http://app;
        }
        location /hidden {
            proxy_hide_header Sec-WebSocket-Accept;
            proxy_pass http://app;
        }
        location ~ ^/captured/(.*)$ {
            proxy_pass http://app/other/$1$is_args$args;
        }
        location ~ ^(/same)/(.*)$ { proxy_pass http://app$1/$2; }
        location /slash/ { proxy_pass http://app; }
        location /rewritten {
            rewrite ^/rewritten$ /socket? break;
            proxy_pass http://app;
        }
        location /extended {
            rewrite ^/extended$ /socket?by=nginx break;
            proxy_pass http://app;
        }
        location / { proxy_pass http://app; }
    }
}
"""
HAPROXY = """defaults
    mode http
frontend web
    bind :80
    http-request deny if { path_beg /deny } !{ src 10.0.0.0/8 }
    http-request auth realm x if { path_beg /auth } !{ http_auth(users) }
    http-request deny deny_status 429 if { path_beg /never } { path_beg /else }
    http-request silent-drop if { path_beg /dropped }
    use_backend headed if { path_beg /headed }
    use_backend second if { path_beg /second }
    use_backend below if { path_beg /below }
    default_backend app
backend app
    server one 127.0.0.1:3000
backend headed
    server one 127.0.0.1:3000 send-proxy-v2
backend second
    server one 127.0.0.1:3000 proto h2
backend below
    http-request set-path /app%[path]
    server one 127.0.0.1:3000
"""
OTHER_HOST = """events {}
http {
    server {
        listen 80;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;
        proxy_set_header Host app.internal;
        location / { proxy_pass http://127.0.0.1:3000; }
    }
}
"""
CADDY = """app.example {
    @inside remote_ip 10.0.0.0/8
    respond @inside 403
    forward_auth /asked* auth:9000 {
        uri /check
    }
    rewrite /moved /elsewhere
    reverse_proxy app:3000
}
"""
APACHE = """ProxyPreserveHost On
ProxyTimeout 5
LimitRequestFieldSize 500
ProxyPass /kept !
ProxyPass /closed http://127.0.0.1:3001/closed upgrade=websocket
<Proxy http://127.0.0.1:3001/*>
    Require all denied
</Proxy>
ProxyPass / http://127.0.0.1:3000/ upgrade=websocket
"""
ENVOY = """static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          upgrade_configs: [{upgrade_type: websocket}]
          route_config:
            virtual_hosts:
            - domains: ["*"]
              routes:
              - {match: {prefix: /}, route: {cluster: app}}
  clusters:
  - name: app
    load_assignment:
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address:
                address: 127.0.0.1
                port_value: 3000
"""
FORBIDDEN = ("WS-HS-010", "HTTP/1.1 403 Forbidden")
NGINX_WROTE = "nginx itself wrote this answer (body: <center>nginx/1.22.1</center>)"
HAPROXY_WROTE = "HAProxy itself wrote this answer (body: <h1>403 Forbidden</h1>)"
HAPROXY_AUTH = "the answer says: You need a valid user and password to access this content."
APACHE_SAYS = "the answer says: You don't have permission to access this resource."
BY_NGINX = (*FORBIDDEN, NGINX_WROTE)
BY_HAPROXY = (*FORBIDDEN, HAPROXY_WROTE)
UNAVAILABLE = ("WS-HS-021", "HTTP/1.1 503 Service Unavailable")
GATEWAY = ("WS-HS-020", "HTTP/1.1 502 Bad Gateway after 5.01 s")
SAID = (*FORBIDDEN, "the answer says: bad origin")
ELSEWHERE = ("WS-HS-011", "HTTP/1.1 404 Not Found")
OF_ITS_PAGE = ("WS-HS-050", "HTTP/1.1 403", "Origin: http://app.example", "Host: app.example")
OF_ANOTHER = ("WS-HS-050", "HTTP/1.1 403", "Origin: https://evil.example", "Host: app.example")
TOKEN = ("WS-HS-009", "HTTP/1.1 401", "sent: token in the query (values not shown)")


@pytest.mark.parametrize(
    ("file", "text", "url", "finding", "line"),
    [
        ("nginx.conf", NGINX, "wss://app.example/closed", ("WS-HS-035", "no answer"), "return 444"),
        ("nginx.conf", OTHER_HOST, "ws://app.example/", ("WS-CL-102", "1008"), "Host app.internal"),
        ("nginx.conf", OTHER_HOST, "ws://app.example/", ("WS-HS-105", "403"), "Host app.internal"),
        ("nginx.conf", NGINX, "wss://app.example/limited", (*UNAVAILABLE, NGINX_WROTE), "limit_conn addr 1"),
        ("nginx.conf", NGINX, "wss://app.example/asked", BY_NGINX, "return 403"),
        ("nginx.conf", NGINX, "wss://app.example/moved", ELSEWHERE, "rewrite ^/moved"),
        ("nginx.conf", NGINX, "wss://app.example/", GATEWAY, "server 127.0.0.1:3000"),
        ("nginx.conf", NGINX, "wss://app.example/", ("WS-HS-015", "400"), "large_client_header_buffers 2 1k"),
        ("nginx.conf", NGINX, "wss://other.example/", ("WS-TLS-019", "alert"), "ssl_reject_handshake on"),
        (
            "nginx.conf",
            NGINX,
            "wss://app.example/exact/",
            ("WS-HS-051", "HTTP/1.1 404", NGINX_WROTE),
            "return 404",
        ),
        ("nginx.conf", NGINX, "wss://app.example/inside", ELSEWHERE, "internal;"),
        ("nginx.conf", NGINX, "wss://app.example/posted", BY_NGINX, "deny all"),
        ("nginx.conf", NGINX, "wss://app.example/hidden", ("WS-HS-024", "HTTP/1.1 101"), "proxy_hide_header"),
        ("nginx.conf", NGINX, "wss://app.example/captured/x", ELSEWHERE, "proxy_pass http://app/other/"),
        ("nginx.conf", OTHER_HOST, "ws://app.example/", OF_ITS_PAGE, "Host app.internal"),
        ("nginx.conf", NGINX, "wss://app.example/rewritten?token=x", TOKEN, "rewrite ^/rewritten$"),
        ("haproxy.cfg", HAPROXY, "ws://h/headed", GATEWAY, "send-proxy-v2"),
        ("haproxy.cfg", HAPROXY, "ws://h/second", UNAVAILABLE, "proto h2"),
        ("haproxy.cfg", HAPROXY, "ws://h/below", ELSEWHERE, "set-path /app"),
        ("nginx.conf", NGINX, "wss://app.example/slash", ("WS-HS-006", "HTTP/1.1 301"), "location /slash/"),
        ("haproxy.cfg", HAPROXY, "ws://h/dropped", ("WS-HS-036", "no answer"), "silent-drop"),
        ("httpd.conf", APACHE, "ws://h/kept", ELSEWHERE, "ProxyPass /kept !"),
        ("httpd.conf", APACHE, "ws://h/closed", (*FORBIDDEN, APACHE_SAYS), "Require all denied"),
        ("httpd.conf", APACHE, "ws://h/", ("WS-HS-015", "400"), "LimitRequestFieldSize 500"),
        ("haproxy.cfg", HAPROXY, "ws://h/deny", BY_HAPROXY, "http-request deny"),
        (
            "haproxy.cfg",
            HAPROXY,
            "ws://h/auth",
            ("WS-HS-009", "HTTP/1.1 401", HAPROXY_AUTH),
            "http-request auth",
        ),
        ("haproxy.cfg", HAPROXY, "ws://h/", UNAVAILABLE, "server one 127.0.0.1:3000"),
        ("Caddyfile", CADDY, "wss://app.example/", FORBIDDEN, "respond @inside 403"),
        ("Caddyfile", CADDY, "wss://app.example/asked", ("WS-HS-009", "HTTP/1.1 401"), "forward_auth"),
        ("Caddyfile", CADDY, "wss://app.example/moved", ("WS-HS-051", "HTTP/1.1 404"), "rewrite /moved"),
        ("Caddyfile", CADDY, "wss://app.example/", GATEWAY, "reverse_proxy app:3000"),
        ("httpd.conf", APACHE, "ws://h/", UNAVAILABLE, "ProxyPass /"),
        ("httpd.conf", APACHE, "ws://h/", GATEWAY, "ProxyTimeout 5"),
        ("envoy.yaml", ENVOY, "ws://h/", UNAVAILABLE, "port_value: 3000"),
    ],
)
def test_the_line_that_explains_it(tmp_path, file, text, url, finding, line) -> None:
    read = read_in(tmp_path, {file: text})
    _, explained = with_configuration(judgement(*finding), (read,), parse_target(url)[0])
    assert explained is not None
    assert line in text.splitlines()[explained.defect.at.line - 1]
    if explained.defect.edits:
        git_applies(read, explained.defect)


@pytest.mark.parametrize(
    ("file", "text", "url", "finding"),
    [
        # The application's own page, which the hop passed on.
        ("nginx.conf", NGINX, "wss://app.example/posted", SAID),
        ("nginx.conf", NGINX, "wss://app.example/posted", FORBIDDEN),
        ("nginx.conf", NGINX, "wss://app.example/asked", SAID),
        ("nginx.conf", NGINX, "wss://app.example/limited", UNAVAILABLE),
        ("haproxy.cfg", HAPROXY, "ws://h/deny", SAID),
        ("httpd.conf", APACHE, "ws://h/closed", SAID),
        # Another status than the condition that is not known answers with.
        ("nginx.conf", NGINX, "wss://app.example/asked", ("WS-HS-011", "HTTP/1.1 404")),
        ("nginx.conf", NGINX, "wss://app.example/", FORBIDDEN),
        ("nginx.conf", NGINX, "wss://app.example/read", FORBIDDEN),
        # A foreign Origin is welcome to no Host; what nginx refuses by itself never met the server.
        ("nginx.conf", OTHER_HOST, "ws://app.example/", OF_ANOTHER),
        ("nginx.conf", OTHER_HOST, "ws://app.example/", BY_NGINX),
        # The query is kept, or the token was elsewhere.
        ("nginx.conf", NGINX, "wss://app.example/extended?token=x", TOKEN),
        ("nginx.conf", NGINX, "wss://app.example/rewritten", TOKEN),
        ("nginx.conf", NGINX, "wss://app.example/rewritten?a=b", ("WS-HS-009", "sent: the cookie session")),
        # Nothing accepted the connection, so no version of HTTP was spoken.
        (
            "haproxy.cfg",
            HAPROXY,
            "ws://h/second",
            ("WS-HS-021", "503", "reset reason: remote connection failure, connection refused"),
        ),
        ("nginx.conf", NGINX, "wss://app.example/same/x", ELSEWHERE),
        ("httpd.conf", APACHE, "ws://h/", FORBIDDEN),
        ("haproxy.cfg", HAPROXY, "ws://h/", FORBIDDEN),
        ("haproxy.cfg", HAPROXY, "ws://h/never", ("WS-HS-016", "HTTP/1.1 429")),
        ("Caddyfile", CADDY, "wss://app.example/", ("WS-HS-009", "HTTP/1.1 401")),
        ("httpd.conf", APACHE, "ws://h/", ("WS-HS-020", "HTTP/1.1 502 Proxy Error after 12 ms")),
    ],
)
def test_what_does_not_fit_is_not_blamed(tmp_path, file, text, url, finding) -> None:
    read = read_in(tmp_path, {file: text})
    _, explained = with_configuration(judgement(*finding), (read,), parse_target(url)[0])
    assert explained is None or explained.defect.kind == "upstream"


def test_what_depends_on_the_unknown_is_not_sure(tmp_path) -> None:
    read = read_in(tmp_path, {"haproxy.cfg": HAPROXY})
    better, _ = with_configuration(judgement(*BY_HAPROXY), (read,), parse_target("ws://h/deny")[0])
    assert better.findings[0].confidence != "high"
    assert "which is not known here" in better.headline


def test_a_place_in_another_file_is_named_with_it(tmp_path) -> None:
    files = {
        "httpd.conf": f"DocumentRoot {tmp_path}/html\n"
        f"<Directory {tmp_path}/html>\nAllowOverride All\n</Directory>\n",
        "html/.htaccess": "# closed\nRequire all denied\n",
    }
    read = read_in(tmp_path, files, "httpd.conf")
    finding = (*FORBIDDEN, APACHE_SAYS)
    better, _ = with_configuration(judgement(*finding), (read,), parse_target("ws://h/")[0])
    assert f"({tmp_path}/html/.htaccess:2)" in better.headline


@pytest.mark.parametrize("is_said", [True, False])
def test_a_line_that_changes_host_is_sure_where_the_answer_shows_that_another_arrived(
    tmp_path, is_said
) -> None:
    read = read_in(tmp_path, {"nginx.conf": OTHER_HOST})
    seen = judgement(*OF_ITS_PAGE)
    if not is_said:  # the server may have a list of origins all the same
        seen = replace(seen, findings=(replace(seen.findings[0], fault_of="server"),))
    better, _ = with_configuration(seen, (read,), parse_target("ws://app.example/")[0])
    found = better.findings[0]
    assert (found.fault_of, found.confidence) == (("hop", "high") if is_said else ("server", "medium"))
    assert "Host $http_host" in found.fixes[0].text


STRIPS = """events {}
http {
    server {
        listen 80;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header Host $http_host;
        location /api/ { proxy_pass http://127.0.0.1:3000/; }
        location /files/ { root /srv; }
    }
}
"""


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/api/typo", ELSEWHERE),
        ("/api/typo", ("WS-HS-004", "HTTP/1.1 200 OK")),
        ("/api/typo", ("WS-HS-013", "HTTP/1.1 405 Method Not Allowed")),
        ("/files/typo", ELSEWHERE),
    ],
)
def test_a_path_that_a_healthy_line_makes_is_only_a_cause(tmp_path, path, seen) -> None:
    """An application's own 404 behind a location that strips its prefix: the URL may be wrong."""
    read = read_in(tmp_path, {"nginx.conf": STRIPS})
    own = (Cause("the path differs from the server's route", "try it"), Cause("another", "try that"))
    base = judgement(*seen, title="404: no WebSocket at this path")
    servers = replace(base, findings=(replace(base.findings[0], fault_of="server", causes=own),))
    better, explained = with_configuration(servers, (read,), parse_target(f"ws://h{path}")[0])
    assert explained is not None
    (found,) = better.findings
    assert (found.fault_of, found.confidence) == ("server", "medium")
    assert found.evidence[0] == seen[1]
    assert [found.causes[0], found.causes[2]] == list(own)
    assert explained.line == found.causes[1].cause
    assert better.headline.startswith("404: no WebSocket at this path; possible cause: ")


@pytest.mark.parametrize("rule", ["WS-HS-106", "WS-HS-051"])
def test_a_path_is_the_hops_where_the_server_accepts_the_original(tmp_path, rule) -> None:
    read = read_in(tmp_path, {"nginx.conf": STRIPS})
    found = judgement(rule, "HTTP/1.1 404 Not Found")
    better, _ = with_configuration(found, (read,), parse_target("ws://h/api/typo")[0])
    one = better.findings[0]
    assert (one.fault_of, one.confidence) == ("hop", "high")
    assert "makes /api/typo into /typo" in one.evidence[0]
    assert "possible cause" not in better.headline
