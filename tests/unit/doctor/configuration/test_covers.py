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
