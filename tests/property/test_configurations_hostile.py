"""Configurations from strangers: whatever stands in one, each reader answers, and its diffs can be read."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.configurations import judgement
from tests.support.examples import examples
from wsinspect.doctor.configuration.judging import is_explainable, with_configuration
from wsinspect.doctor.configuration.reading import READERS, Configuration
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import parse_target
from wsinspect.findings.registry import all_rules

NGINX = r"""http {
    map $http_upgrade $connection_upgrade { hostnames; default upgrade; '' close; ~*^a close; }
    upstream app { server 127.0.0.1:3000; }
    server {
        listen 80 default_server;
        server_name h ~^(?<name>.+)\.example$;
        set $args $args&by=nginx;
        error_page 418 = @ws;
        error_page 502 504 =200 /m.html;
        location /ws {
            if ($http_upgrade ~* websocket) { return 418; }
            proxy_pass http://app;
        }
        location ~ ^/re/(\d+)$ { proxy_pass http://app/$1$is_args$args; proxy_read_timeout 1h30m; }
        location /moved { rewrite ^/moved(.*)$ /ws$1? last; }
        location @ws {
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_pass http://app;
        }
        location / { limit_conn a 1; limit_conn_status 429; try_files $uri =404; proxy_pass http://app; }
    }
}
"""
HAPROXY = r"""defaults
    mode http
    timeout tunnel 10m
frontend web
    bind :80,:8000-8010 ssl crt /x accept-proxy
    acl is_ws hdr(Upgrade) -i websocket
    http-request deny deny_status 429 if { path,field(2,/) -m reg ^no } !is_ws
    http-request set-path %[path,regsub(^/ws/?,/)] if { path_beg /ws }
    http-request replace-path /a/(.*) /\1
    http-response return status 200 content-type text/html string Sorry if { status 404 }
    use_backend app if is_ws or { url_param(token) 1 }
    default_backend app
backend app
    default-server send-proxy-v2
    http-request del-header Upgrade
    server app 127.0.0.1:3000 check alpn h2 no-send-proxy  # it
"""
APACHE = r"""<VirtualHost *:80>
    ServerName h
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} =websocket [NC]
    RewriteRule ^/ws/(.*)$ ws://127.0.0.1:3000/$1?x=%1 [P,L,R=301]
    <If "%{HTTP:Upgrade} == 'websocket' && %{REQUEST_URI} =~ m#^/a#">
        Redirect 301 / https://h/
    </If>
    ProxyErrorOverride On 404
    ProxyPass /never !
    ProxyPass / http://127.0.0.1:3000/ upgrade=websocket timeout=20
    <Location /closed>
        Require ip 10.0.0.0/8
        RequestHeader unset Upgrade
    </Location>
</VirtualHost>
"""
CADDY = r"""(proxied) {
	reverse_proxy {args[0]} {
		header_up -Upgrade
		transport http {
			versions h2c
			read_timeout 1h30m
		}
	}
}
h, *.example:80 {
	@ws {
		header Connection *Upgrade*
		path /ws* /x
	}
	redir /old /new 301
	handle_path /api/* {
		import proxied app:3000
	}
	handle @ws {
		rewrite * /y{uri}
		reverse_proxy app:3000 {
			stream_timeout 5m
			handle_response @ws {
				respond "no" 200
			}
		}
	}
	respond 404
}
"""
CADDY_JSON = """{"apps": {"http": {"servers": {"s": {"listen": [":80", ":443"], "routes": [
 {"match": [{"host": ["h"], "path": ["/ws*"]}], "terminal": true,
  "handle": [{"handler": "subroute", "routes": [
  {"handle": [{"handler": "rewrite", "strip_path_prefix": "/ws"}, {"handler": "reverse_proxy",
   "headers": {"request": {"delete": ["Upgrade"], "set": {"Host": ["x"]}}}, "stream_timeout": 3600000000000,
   "transport": {"protocol": "http", "versions": ["h2c"]}, "upstreams": [{"dial": "app:3000"}]}]}]}]},
 {"handle": [{"handler": "static_response", "status_code": "404"}]}]}}}}}
"""
ENVOY = """static_resources:
  listeners:
    - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                stream_idle_timeout: 30s
                route_config:
                  virtual_hosts:
                    - domains: ["*"]
                      routes:
                        - match: {safe_regex: {regex: "/no/.*"}}
                          direct_response: {status: 403}
                        - match: {prefix: /, headers: [{name: upgrade, string_match: {exact: websocket}}]}
                          request_headers_to_remove: [upgrade]
                          route: {cluster: app, prefix_rewrite: /x, timeout: 15s, host_rewrite_literal: in}
  clusters:
    - name: app
      load_assignment:
        endpoints:
          - lb_endpoints:
              - endpoint: {address: {socket_address: {address: app, port_value: 3000}}}
"""
TRAEFIK = """http:
  routers:
    web:
      rule: Host(`h`) && (PathPrefix(`/`) || HeadersRegexp(`Upgrade`, `^w`)) && !ClientIP(`10.0.0.0/8`)
      priority: 10
      middlewares: [strip, moved, heads@file]
      service: web
  middlewares:
    strip: {stripPrefix: {prefixes: [/ws]}}
    moved: {replacePathRegex: {regex: "^/a/(.*)", replacement: "/$1"}}
    heads: {headers: {customRequestHeaders: {Upgrade: "", Host: inside}}}
  services:
    web: {loadBalancer: {serversTransport: slow, servers: [{url: "h2c://10.0.0.1:80"}]}}
  serversTransports:
    slow: {forwardingTimeouts: {responseHeaderTimeout: 20s}}
"""
KUBERNETES = """apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations:
    nginx.ingress.kubernetes.io/proxy-read-timeout: "60"
    nginx.ingress.kubernetes.io/rewrite-target: /$1
    nginx.ingress.kubernetes.io/configuration-snippet: |
      proxy_set_header Connection close;
      return 403;
spec:
  ingressClassName: nginx
  rules:
    - host: h
      http:
        paths:
          - {path: /(.*), pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec:
  rules:
    - timeouts: {request: 10s}
      filters:
        - {type: RequestRedirect, requestRedirect: {statusCode: 301}}
        - {type: RequestHeaderModifier, requestHeaderModifier: {remove: [Upgrade]}}
"""
VITE = """export default { server: { proxy: {
  '/ws': { target: `http://localhost:3000`, ws: false, rewrite: (path) => path.replace(/^\\/x/, '') },
  '^/(a|b)$': 'http://localhost',  // all
} } }
"""
SOUND: Final = {
    "nginx.conf": NGINX,
    "haproxy.cfg": HAPROXY,
    "httpd.conf": APACHE,
    "Caddyfile": CADDY,
    "caddy.json": CADDY_JSON,
    "envoy.yaml": ENVOY,
    "traefik.yaml": TRAEFIK,
    "ingress.yaml": KUBERNETES,
    "vite.config.js": VITE,
}
_WORDS: Final = re.compile(r"(\s+|[{}();\[\],:\"'=<>|])")
#: What means something to one of them, or to Python, and stands where it should not.
ODD: Final = (
    *("", '""', "''", "\u00b2", "9" * 5000, "-1", "1.2.3s", "nan", "\0", "\udcff", "\x85", "\t", "\n"),
    *("(", "[", "{", "}", "*", "~", "\\", "$", "${", "%{", "%[path,", "{args[9]}", "$9", "%9", "(?<uri>.)"),
    *("$args", "$uri", "[::1", "http://[", "!", "#", "`", "&a", "*a", "<<:", "---", "|", "include", "import"),
    *("if", "unless", "null", "[]", "{}", "=", "/"),
)
TARGETS: Final = tuple(
    parse_target(one)[0]
    for one in (
        "ws://h/ws?token=1",
        "wss://h/api/x.php",
        "ws://a.example:8000/re/1",
        "ws://[::1]/%2e%2e/\u00e9",
    )
)
EXPLAINABLE: Final = sorted(
    {rule.id for rule in all_rules() if is_explainable(judgement(rule.id).findings[0])},
)
EDITS: Final = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.sampled_from(("replace", "insert", "join", "delete", "copy", "exchange")),
        st.sampled_from(ODD),
        st.integers(0, 12),
    ),
    max_size=5,
)


def changed(text: str, edits: list[tuple[int, str, str, int]]) -> str:
    """A text whose words were replaced, taken out, copied and exchanged."""
    words = _WORDS.split(text)
    for place, how, odd, count in edits:
        at = place % len(words)
        if how == "replace":
            words[at] = odd
        elif how == "insert":
            words[at:at] = [odd, " "]
        elif how == "join":
            words[at] += odd
        elif how == "delete":
            del words[at : at + count]
        elif how == "copy":
            words[at:at] = words[at : at + count]
        else:
            other = (at + count) % len(words)
            words[at], words[other] = words[other], words[at]
        words = words or [""]
    return "".join(words)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_one_is_recognised_and_met(name):
    (reader,) = [one for one in READERS if one.recognises(name, SOUND[name])][:1]
    tree = reader.read(Sources({name: SOUND[name]}), [name])
    assert any(reader.meets(tree, target, None) is not None for target in TARGETS)


@examples(200)
@given(
    name=st.sampled_from(sorted(SOUND)),
    edits=EDITS,
    target=st.sampled_from(TARGETS),
    rule=st.sampled_from(EXPLAINABLE),
    version=st.sampled_from((None, (1, 22, 1), (1, 29, 7))),
)
def test_any_configuration_is_read_and_judged(name, edits, target, rule, version):
    reader = next(one for one in READERS if one.recognises(name, SOUND[name]))
    sources = Sources({name: changed(SOUND[name], edits)})
    tree = reader.read(sources, [name])
    if tree is None:
        return
    read = Configuration(reader, tree, sources, (name,), (".",))
    seen = judgement(
        rule, "HTTP/1.1 502 Bad Gateway after 60.0 s", "sent: token in the query", title="404: x"
    )
    better, explained = with_configuration(
        seen, [read], target, {reader.software: version} if version else {}
    )
    assert better.findings[0].id == rule
    assert (explained is None) == (better.headline == "")
