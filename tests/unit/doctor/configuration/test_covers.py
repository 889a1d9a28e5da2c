"""Pages that a hop's configuration puts in the place of another answer: named where they explain what was
seen, and a server that answers by itself keeps the blame."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.configurations import judgement, read_in
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.target import parse_target
from wsinspect.findings.own_pages import BARE

NGINX = """events {}
http { server { listen 80;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $http_connection;
    location /changed { proxy_pass http://app; proxy_intercept_errors on; error_page 404 =200 /page.html; }
    location /by-page { proxy_pass http://app; proxy_intercept_errors on; error_page 404 = /page.html; }
    location /same { proxy_pass http://app; proxy_intercept_errors on; error_page 404 /404.html; }
    location /gateway { proxy_pass http://app; error_page 502 =200 /page.html; }
    location /down { proxy_pass http://app; proxy_intercept_errors on; error_page 502 =200 /page.html; }
    location /either { proxy_pass http://app; proxy_intercept_errors on; error_page 404 502 =200 /page.html; }
    location /passed { proxy_pass http://app; error_page 404 =200 /page.html; }
    location /plain { proxy_pass http://app; }
} }
"""
HAPROXY = """defaults
    mode http
frontend web
    bind :80
    use_backend down if { path_beg /down }
    use_backend kept if { path_beg /kept }
    use_backend plain if { path_beg /plain }
    default_backend app
backend app
    http-response return status 200 content-type text/html string Sorry if { status 404 }
    server a 10.0.0.1:3000
backend down
    errorfile 503 FOLDER/200.http
    server a 10.0.0.1:3000
backend kept
    errorfile 503 FOLDER/503.http
    errorfile 502 FOLDER/nowhere.http
    server a 10.0.0.1:3000
backend plain
    server a 10.0.0.1:3000
"""
APACHE = """<VirtualHost *:80>
    ServerName app.example
    ProxyPreserveHost On
    ProxyPass /over http://app:3000/over upgrade=websocket
    ProxyPass /plain http://app:3000/plain upgrade=websocket
    <Location /over>
        ProxyErrorOverride On 404 403
    </Location>
</VirtualHost>
"""
CADDY = """app.example {
	handle /changed* {
		reverse_proxy app:3000 {
			@gone status 404
			handle_response @gone {
				respond "Sorry, we could not find that; here is our front page instead" 200
			}
		}
	}
	handle /plain* {
		reverse_proxy app:3000
	}
	handle_errors {
		respond "our way there failed" 404
		respond "{err.status_text}"
	}
}
"""

ENVOY = """static_resources:
  listeners:
    - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                upgrade_configs: [{upgrade_type: websocket}]
                local_reply_config:
                  mappers:
                    - filter:
                        and_filter:
                          filters:
                            - status_code_filter: {comparison: {op: GE, value: {default_value: 502}}}
                            - status_code_filter: {comparison: {op: LE, value: {default_value: 504}}}
                      status_code: 200
                      body: {inline_string: "<h1>Back soon</h1>"}
                    - filter:
                        status_code_filter: {comparison: {op: EQ, value: {default_value: 401}}}
                      body: {inline_string: "Sign in first"}
                    - filter:
                        status_code_filter: {comparison: {op: EQ, value: {default_value: 403}}}
                      status_code: 404
                    - filter: {header_filter: {header: {name: x-beta, present_match: true}}}
                      status_code: 429
                route_config:
                  virtual_hosts:
                    - domains: ["*"]
                      routes:
                        - match: {prefix: /closed}
                          direct_response: {status: 403}
                        - match: {prefix: /asked}
                          direct_response: {status: 401}
                        - match: {prefix: /}
                          route: {cluster: app}
  clusters:
    - name: app
"""
TRAEFIK = """http:
  routers:
    changed:
      rule: PathPrefix(`/changed`)
      middlewares: [rewritten]
      service: app
    same:
      rule: PathPrefix(`/same`)
      middlewares: [pages]
      service: app
    plain:
      rule: PathPrefix(`/plain`)
      service: app
  middlewares:
    pages:
      errors: {status: ["404", "500-599"], service: pages, query: "/{status}.html"}
    rewritten:
      errors:
        status: ["400-499"]
        service: pages
        query: "/{status}.html"
        statusRewrites: {"404": 200}
  services:
    app: {loadBalancer: {servers: [{url: "http://10.0.0.1:3000"}]}}
"""


def told(folder, files, url, rule, *evidence, **more):
    read = read_in(folder, files, *files)
    seen = judgement(rule, *evidence)
    one = replace(seen.findings[0], **{"fault_of": "server", **more})
    return with_configuration(replace(seen, findings=(one,)), [read], parse_target(url)[0])[0]


@pytest.mark.parametrize(
    ("name", "text", "path", "words"),
    [
        (
            "nginx.conf",
            NGINX,
            "/changed",
            "'error_page 404 =200 /page.html' answers in place of the",
        ),
        ("nginx.conf", NGINX, "/by-page", "'error_page 404 = /page.html' answers in place of the server's"),
        ("nginx.conf", NGINX, "/gateway", "'error_page 502 =200 /page.html' answers in place of nginx's own"),
        ("haproxy.cfg", HAPROXY, "/", "string Sorry if { status 404 }' answers in place of the server's own"),
        ("haproxy.cfg", HAPROXY, "/down", "200.http' answers in place of HAProxy's own answer, with 200"),
        ("Caddyfile", CADDY, "/changed", "'respond ... 200' in 'handle_response @gone' answers in place of"),
        (
            "envoy.yaml",
            ENVOY,
            "/",
            "'status_code: 200' in 'local_reply_config' answers in place of Envoy's own",
        ),
        (
            "traefik.yml",
            TRAEFIK,
            "/changed",
            "another service in place of the server's own answer, and makes 200 of its 404",
        ),
    ],
)
def test_a_page_with_another_status_is_the_hops(tmp_path, name, text, path, words):
    (tmp_path / "200.http").write_text("HTTP/1.0 200 OK\r\n\r\nSorry")
    (tmp_path / "503.http").write_text("HTTP/1.0 503 Service Unavailable\r\n\r\nSorry")
    files = {name: text.replace("FOLDER", str(tmp_path))}
    url = f"{'wss' if name == 'Caddyfile' else 'ws'}://app.example{path}"
    said = "HTTP/1.1 200 OK after 3 ms"
    found = told(tmp_path, files, url, "WS-HS-004", said, BARE)
    one = found.findings[0]
    assert one.fault_of == "hop"
    assert words in one.evidence[0]
    assert words in found.headline
    assert "may have answered with a page of its own instead of 101" in found.headline
    # An application's own mark is in the answer: then it came from there, and the line is one cause of two.
    assert told(tmp_path, files, url, "WS-HS-004", said).findings[0].fault_of == "server"
    # What was seen is not what the page has.
    other = told(tmp_path, files, url, "WS-HS-017", "HTTP/1.1 429 Too Many Requests", BARE)
    assert words not in other.headline


@pytest.mark.parametrize(
    ("name", "text", "path", "status"),
    [
        ("nginx.conf", NGINX, "/plain", "200 OK"),
        ("nginx.conf", NGINX, "/passed", "200 OK"),  # without proxy_intercept_errors the 404 comes through
        ("nginx.conf", NGINX, "/changed", "404 Not Found"),
        ("haproxy.cfg", HAPROXY, "/plain", "200 OK"),
        ("haproxy.cfg", HAPROXY, "/kept", "200 OK"),
        ("Caddyfile", CADDY, "/plain", "200 OK"),
        ("sites.conf", APACHE, "/plain", "404 Not Found"),
        ("sites.conf", APACHE, "/over", "500 Internal Server Error"),
        ("envoy.yaml", ENVOY, "/", "404 Not Found"),  # of the mapper for 403, which no route answers here
        ("traefik.yml", TRAEFIK, "/plain", "404 Not Found"),
        ("traefik.yml", TRAEFIK, "/changed", "500 Internal Server Error"),
    ],
)
def test_a_line_that_does_not_explain_it_is_not_named(tmp_path, name, text, path, status):
    (tmp_path / "503.http").write_text("HTTP/1.0 503 Service Unavailable\r\n\r\nSorry")
    files = {name: text.replace("FOLDER", str(tmp_path))}
    url = f"{'wss' if name == 'Caddyfile' else 'ws'}://app.example{path}"
    rule = {"2": "WS-HS-004", "4": "WS-HS-011", "5": "WS-HS-019"}[status[0]]
    found = told(tmp_path, files, url, rule, f"HTTP/1.1 {status} after 3 ms", BARE)
    assert "in place of" not in found.headline
    assert "in the place of" not in found.headline
    assert found.findings[0].fault_of == "server"


def test_a_page_with_the_servers_status_leaves_the_fault_with_the_server(tmp_path):
    said = "HTTP/1.1 404 Not Found after 3 ms"
    found = told(tmp_path, {"nginx.conf": NGINX}, "ws://app.example/same", "WS-HS-011", said)
    assert found.findings[0].fault_of == "server"
    assert "'error_page 404 /404.html' answers in place of the server's own answer (404)" in found.headline


def test_a_page_that_is_built_into_apache_may_stand_for_the_servers_404(tmp_path):
    said = "HTTP/1.1 404 Not Found after 3 ms"
    mark = "Apache httpd itself wrote this answer (body: <!DOCTYPE HTML)"
    found = told(
        tmp_path,
        {"sites.conf": APACHE},
        "ws://app.example/over",
        "WS-HS-011",
        said,
        mark,
        title="404: Apache httpd itself has nothing at this path",
        fault_of="hop",
    )
    one = found.findings[0]
    assert (one.fault_of, one.title) == ("server", "404: the server's answer, under a page of Apache httpd")
    assert "'ProxyErrorOverride On 404 403' puts a page of httpd's own" in found.headline


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/changed", ["proxy_intercept_errors off"]),
        ("/gateway", ["take 'error_page 502 =200 /page.html' out"]),
        # Without proxy_intercept_errors nginx puts that page in the place of its own 502 all the same.
        ("/down", ["take 'error_page 502 =200 /page.html' out", "proxy_intercept_errors off"]),
        ("/either", ["take 502 out of 'error_page 404 502 =200 /page.html'", "proxy_intercept_errors off"]),
    ],
)
def test_the_advice_mends_nginxs_own_failures_too(tmp_path, path, advice):
    found = told(
        tmp_path, {"nginx.conf": NGINX}, f"ws://app.example{path}", "WS-HS-004", "HTTP/1.1 200 OK", BARE
    )
    text = found.findings[0].fixes[0].text
    assert [one for one in advice if one in text] == advice
    assert ("proxy_intercept_errors off" in text) == ("proxy_intercept_errors off" in advice)


def test_the_title_has_the_status_and_an_own_500_is_possible(tmp_path):
    found = told(
        tmp_path,
        {"sites.conf": APACHE.replace("On 404 403", "On")},
        "ws://app.example/over",
        "WS-HS-019",
        "HTTP/1.1 500 Internal Server Error after 3 ms",
        "Apache httpd itself wrote this answer (body: <!DOCTYPE HTML)",
        title="The server failed: 500 Internal Server Error",
        fault_of="hop",
        confidence="high",
    )
    one = found.findings[0]
    assert one.title == "500: the server's answer, under a page of Apache httpd"
    assert (one.fault_of, one.confidence) == ("server", "medium")


def test_what_envoy_makes_of_its_own_refusal_is_the_line_that_refuses(tmp_path):
    said = "HTTP/1.1 404 Not Found after 3 ms"
    found = told(tmp_path, {"envoy.yaml": ENVOY}, "ws://app.example/closed", "WS-HS-011", said)
    assert found.findings[0].fault_of == "hop"
    assert "'direct_response' answers 403, and 'local_reply_config' makes 404 of that 403" in found.headline
    # A mapper that changes the body alone leaves the status.
    said = "HTTP/1.1 401 Unauthorized after 3 ms"
    found = told(tmp_path, {"envoy.yaml": ENVOY}, "ws://app.example/asked", "WS-HS-009", said)
    assert "'direct_response' answers 401" in found.headline
    assert "local_reply_config" not in found.headline


@pytest.mark.parametrize(("status", "rule"), [(404, "WS-HS-011"), (500, "WS-HS-019")])
def test_a_page_of_traefiks_errors_leaves_the_status_with_the_server(tmp_path, status, rule):
    said = f"HTTP/1.1 {status} Sorry after 3 ms"
    found = told(tmp_path, {"traefik.yml": TRAEFIK}, "ws://app.example/same", rule, said)
    assert found.findings[0].fault_of == "server"
    assert "'errors' in pages puts '/{status}.html' of another service in place of" in found.headline
    assert "take the middleware pages out" in found.findings[0].fixes[0].text


def test_labels_of_errors_are_read_as_files_are(tmp_path):
    labels = """services:
  app:
    labels:
      - traefik.http.routers.app.rule=PathPrefix(`/`)
      - traefik.http.routers.app.middlewares=pages
      - traefik.http.middlewares.pages.errors.status=404,500-599
      - traefik.http.middlewares.pages.errors.service=pages
      - traefik.http.middlewares.pages.errors.query=/{status}.html
"""
    said = "HTTP/1.1 404 Not Found after 3 ms"
    found = told(tmp_path, {"compose.yml": labels}, "ws://app.example/x", "WS-HS-011", said)
    assert "'errors' in pages puts" in found.headline


def test_a_500_of_nginxs_own_is_not_of_the_server_that_it_passes_to(tmp_path):
    said = "HTTP/1.1 500 Internal Server Error after 3 ms"
    own = "nginx itself wrote this answer (body: <center>nginx/1.22.1</center>)"
    asks = NGINX.replace("location /plain {", "location /plain { auth_request /_auth;")
    url = "ws://app.example/plain"
    plain = told(tmp_path / "a", {"nginx.conf": NGINX}, url, "WS-HS-019", said, own, fault_of="hop")
    assert "is where it goes" not in plain.headline
    asked = told(tmp_path / "b", {"nginx.conf": asks}, url, "WS-HS-019", said, own, fault_of="hop")
    assert "'auth_request /_auth' asks another server first: where it is down" in asked.headline
    # An application that answers 500 itself has been asked.
    passed = told(tmp_path / "b", {"nginx.conf": asks}, url, "WS-HS-019", said)
    assert "auth_request" not in passed.headline
    down = told(
        tmp_path / "a", {"nginx.conf": NGINX}, url, "WS-HS-020", "HTTP/1.1 502 Bad Gateway after 3 ms", own
    )
    assert "is where it goes" in down.headline


@pytest.mark.parametrize(("checks", "is_named"), [(" check inter 2s", True), ("", False)])
def test_a_health_check_that_fails_is_why_haproxy_asks_nobody(tmp_path, checks, is_named):
    text = f"""frontend web
    mode http
    bind :80
    default_backend app
backend app
    mode http
    option httpchk GET /healthz
    server a 10.0.0.1:3000{checks}
"""
    said = "HTTP/1.1 503 Service Unavailable after 3 ms"
    found = told(tmp_path, {"haproxy.cfg": text}, "ws://app.example/", "WS-HS-021", said, fault_of="hop")
    named = "'option httpchk GET /healthz' takes server a out of service" in found.headline
    assert named == is_named
    # A 502 is of a server that was asked.
    said = "HTTP/1.1 502 Bad Gateway after 3 ms"
    asked = told(tmp_path, {"haproxy.cfg": text}, "ws://app.example/", "WS-HS-020", said, fault_of="hop")
    assert "httpchk" not in asked.headline
    assert "'server a 10.0.0.1:3000' is where it goes" in asked.headline


CHECKED = """defaults
    mode http
    option httpchk GET /healthz
frontend web
    bind :80
    default_backend app
backend app
    server a 10.0.0.1:3000 check
    OWN
"""


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("", "does not answer it with 2xx or 3xx"),
        ("http-check expect status 401", "with what 'http-check expect status 401' wants"),
        ("no option httpchk", ""),
        ("option tcp-check", ""),
        ("no option httpclose", "does not answer it with 2xx or 3xx"),
    ],
)
def test_the_check_that_a_backend_has_itself_decides(tmp_path, own, words):
    files = {"haproxy.cfg": CHECKED.replace("OWN", own)}
    said = "HTTP/1.1 503 Service Unavailable after 3 ms"
    found = told(tmp_path, files, "ws://app.example/", "WS-HS-021", said, fault_of="hop")
    assert ("httpchk" in found.headline) == bool(words)
    assert words in found.headline
