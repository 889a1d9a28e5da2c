"""Digits that `str.isdigit` takes and `int` does not, and numbers of thousands of digits: no reader trips."""

from __future__ import annotations

import pytest

from tests.support.configurations import read_in
from wsinspect.doctor.target import parse_target

NGINX = "server { location / { LINE proxy_pass http://app; } }\n"
HAPROXY = """defaults
    mode http
frontend web
    bind :80
    LINE
    default_backend app
backend app
    BACKEND
    server app 127.0.0.1:3000
"""
APACHE = "<VirtualHost *:80>\nServerName h\nRewriteEngine On\nLINE\nProxyPass / http://127.0.0.1:3000/\n</VirtualHost>\n"
CADDY = "h {\n\tLINE\n\treverse_proxy app:3000\n}\n"
ENVOY = """static_resources:
  listeners:
    - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                route_config:
                  virtual_hosts:
                    - domains: ["*"]
                      routes:
                        - match: {prefix: /}
                          direct_response: {status: NUMBER}
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: web
spec:
  rules:
    - filters:
        - type: RequestRedirect
          requestRedirect: {statusCode: NUMBER}
"""
TRAEFIK = """http:
  routers:
    web:
      rule: PathPrefix(`/`)
      priority: NUMBER
      service: web
  services:
    web:
      loadBalancer: {servers: [{url: "http://10.0.0.1:80"}]}
"""


@pytest.mark.parametrize("number", ["²", "²²²", "٤٠٣", "4" * 5000])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app.conf", NGINX.replace("LINE", "return NUMBER;")),
        ("app.conf", NGINX.replace("LINE", "if ($cookie_x) { return NUMBER; }")),
        ("app.conf", NGINX.replace("LINE", "limit_conn a 1; limit_conn_status NUMBER;")),
        ("app.conf", NGINX.replace("LINE", "try_files /x =NUMBER;")),
        ("app.conf", NGINX.replace("LINE", "error_page 502 NUMBER =NUMBER /x; proxy_intercept_errors on;")),
        ("app.conf", NGINX.replace("LINE", "return NUMBER; error_page NUMBER = @x;")),
        ("app.conf", NGINX.replace("LINE", "proxy_read_timeout NUMBER;")),
        ("haproxy.cfg", HAPROXY.replace("LINE", "http-request deny deny_status NUMBER")),
        ("haproxy.cfg", HAPROXY.replace("BACKEND", "http-response return status NUMBER")),
        ("haproxy.cfg", HAPROXY.replace("LINE", "http-request deny if { path,field(NUMBER,/) x }")),
        ("a.conf", APACHE.replace("LINE", "Redirect NUMBER / /x")),
        ("a.conf", APACHE.replace("LINE", "RewriteRule ^/ /x [R=NUMBER]")),
        ("a.conf", APACHE.replace("LINE", "ProxyErrorOverride On NUMBER")),
        ("Caddyfile", CADDY.replace("LINE", "respond NUMBER")),
        ("envoy.yaml", ENVOY),
        ("route.yaml", ROUTE),
        ("traefik.yaml", TRAEFIK),
    ],
)
def test_a_number_that_is_none_ends_no_reader(tmp_path, name, text, number) -> None:
    url = "wss://h/" if name == "Caddyfile" else "ws://h/"
    text = text.replace("    LINE\n", "").replace("    BACKEND\n", "")
    met = read_in(tmp_path, {name: text.replace("NUMBER", number)}, name).meets(parse_target(url)[0])
    assert met is not None
    assert all(one.status is None or 100 <= one.status < 600 for one in met.defects)
