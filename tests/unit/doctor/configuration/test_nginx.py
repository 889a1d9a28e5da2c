"""nginx configurations: which blocks a URL meets, what they lack, and the diff that mends it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.configurations import git_applies, judgement, kinds, mend, met_in, read_in, write_files
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.configuration.model import Met
from wsinspect.doctor.configuration.reading import read_configurations
from wsinspect.doctor.target import parse_target
from wsinspect.errors import UsageError

SERVERS = """
server { listen 80 default_server; server_name _; location / { return 404; } }
server { listen 80; server_name example.org *.example.org; location / { return 201; } }
server { listen 80; server_name www.example.*; location / { return 202; } }
server { listen 80; server_name ~^app\\d+\\.; location / { return 203; } }
server { listen 8443 ssl; server_name example.org; location / { return 204; } }
server { listen 80; server_name .dot.example; location / { return 205; } }
"""
LOCATIONS = """
server {
    location = /exact { return 201; }
    location /a { return 202; }
    location /a/b { return 203; }
    location ^~ /a/static { return 204; }
    location ~ \\.php$ { return 205; }
    location ~* \\.JPG$ { return 206; }
    location /outer { location /outer/inner { return 207; } }
}
"""


def met(folder: Path, text: str, url: str) -> Met:
    return met_in(folder, {"app.conf": text}, url, "app.conf")


def code(found: Met) -> str:
    return next(found.found.innermost.all("return")).args[0]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://other.example/", "404"),
        ("ws://example.org/", "201"),
        ("ws://chat.example.org/", "201"),
        ("ws://www.example.net/", "202"),
        ("ws://app7.internal/", "203"),
        ("wss://example.org:8443/", "204"),
        ("ws://dot.example/", "205"),
        ("ws://a.dot.example/", "205"),
        ("ws://example.org:9999/", "201"),  # a port that is mapped: names alone decide
    ],
)
def test_the_server_is_chosen_by_nginxs_rules(tmp_path, url, expected) -> None:
    assert code(met(tmp_path, SERVERS, url)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/exact", "201"),
        ("/a/x", "202"),
        ("/a/b/c", "203"),
        ("/a/static/x.php", "204"),
        ("/a/x.php", "205"),
        ("/x.jpg", "206"),
        ("/outer/inner/x", "207"),
    ],
)
def test_the_location_is_chosen_by_nginxs_rules(tmp_path, path, expected) -> None:
    assert code(met(tmp_path, LOCATIONS, f"ws://localhost{path}")) == expected


def test_a_path_that_no_location_has_meets_the_server(tmp_path) -> None:
    assert met(tmp_path, LOCATIONS, "ws://localhost/exactly").words == "server"


WROTE = "nginx itself wrote this answer (body: <center>nginx</center>)"
GOOD = """proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;
        proxy_set_header Host $http_host;"""
URL = "ws://localhost/ws"


def place(inside: str, server: str = "") -> str:
    return f"server {{\n    {server}\n    location /ws {{\n        {inside}\n    }}\n}}\n"


def good(old: str = "", new: str = "") -> str:
    return place(
        f"proxy_pass http://app;\n        {GOOD}".replace(old, new)
        if old
        else f"proxy_pass http://app; {GOOD}"
    )


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        (good(), [], ""),
        (place("proxy_pass http://app;", GOOD), [], ""),
        (place("proxy_pass http://app;"), ["upgrade", "host"], "the default before nginx 1.29.7"),
        (
            place("proxy_pass http://app; proxy_set_header X-A 1;", GOOD),
            ["upgrade", "host"],
            "cancels that of",
        ),
        (good("$http_connection", '""'), ["upgrade"], "proxy_set_header Connection"),
        (good("$http_connection", "keep-alive"), ["upgrade"], "proxy_set_header Connection"),
        (good("$http_upgrade", '""'), ["upgrade"], "Upgrade"),
        (good("$http_upgrade", "h2c"), ["upgrade"], "Upgrade"),
        (good("$http_upgrade", "$elsewhere"), [], ""),
        (good("$http_connection", "upgrade"), [], ""),
        (good("1.1", "1.0"), ["upgrade"], "HTTP/1.0"),
        (good("1.1", "2"), ["upgrade"], "HTTP/2"),
        (good("$http_host", "$host"), [], ""),
        (good("$http_host", "$proxy_host"), ["host"], "$proxy_host"),
        (
            good("proxy_pass http://app;", "proxy_pass http://app; proxy_set_header Origin '';"),
            ["credentials"],
            "Origin",
        ),
        (
            good(
                "proxy_pass http://app;", "proxy_pass http://app; proxy_set_header Sec-WebSocket-Version '';"
            ),
            ["websocket"],
            "removes it",
        ),
        (
            good("proxy_pass http://app;", "proxy_pass http://app; proxy_pass_request_headers off;"),
            ["websocket"],
            "all headers",
        ),
        (good("http://app;", "http://app/;"), ["path"], "makes /ws into /"),
        (good("http://app;", "http://app/ws;"), [], ""),
        (good("proxy_pass http://app;", "proxy_pass http://$backend;"), [], ""),
        (place("return 403;"), ["answer"], "return 403"),
        (place(f"deny all; proxy_pass http://app; {GOOD}"), ["answer"], "deny all"),
        (place(f"allow 10.0.0.0/8; deny all; proxy_pass http://app; {GOOD}"), ["answer"], "no 'allow' lists"),
        (place(f"auth_basic Private; proxy_pass http://app; {GOOD}"), ["answer"], "asks for a password"),
        (place(f"auth_basic off; proxy_pass http://app; {GOOD}", "auth_basic Private;"), [], ""),
        (place(f"auth_request /auth; proxy_pass http://app; {GOOD}"), ["answer"] * 3, "auth_request"),
        (place("root /srv;"), ["route"], "passes nothing on"),
        (place("fastcgi_pass app:9000;"), ["upgrade"], "cannot carry an upgrade"),
        (place("uwsgi_pass app:9000;"), [], ""),
        (place("include gone/proxy.conf;"), [], ""),
        (place("proxy_pass http://app; include gone/proxy.conf;"), [], ""),
    ],
)
def test_what_is_wrong_for_a_websocket(tmp_path, text, expected, words) -> None:
    found = met(tmp_path, text, URL)
    assert kinds(found) == expected
    assert words in " ".join(one.words for one in found.defects)


@pytest.mark.parametrize(
    ("version", "expected"), [((1, 29, 7), []), ((1, 22, 1), ["upgrade"]), (None, ["upgrade"])]
)
def test_the_default_version_is_the_running_ones(tmp_path, version, expected) -> None:
    text = good("proxy_http_version 1.1;", "")
    assert kinds(met_in(tmp_path, {"a.conf": text}, URL, "a.conf", version=version)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("default upgrade; '' close;", []),
        ("default close;", ["upgrade"]),
        ("default close; websocket upgrade;", []),
        ("default close; ~*^web upgrade;", []),
        ("'' upgrade;", ["upgrade"]),
        ("default $http_connection;", []),
        ("include gone.map;", []),
    ],
)
def test_a_map_is_evaluated(tmp_path, body, expected) -> None:
    inside = good("$http_connection", "$connection_upgrade")
    text = f"http {{ map $http_upgrade $connection_upgrade {{ {body} }} {inside} }}"
    assert kinds(met(tmp_path, text, URL)) == expected


ROUTED = """
server {
    if ($http_upgrade ~* websocket) { set $kind socket; }
    location /flag { if ($kind = socket) { return 201; } return 202; }
    location /trick { error_page 418 = @sockets; if ($http_upgrade = "websocket") { return 418; } return
    203; }
    location @sockets { return 204; }
    location /old { rewrite ^/old/(.*)$ /new/$1 last; }
    location /new { return 205; }
    location /files { try_files $uri @application; }
    location @application { return 206; }
    location /index { try_files $uri /new/index.html; }
    location /post { if ($request_method = POST) { return 207; } return 208; }
    location /away { rewrite ^ https://other.example/ permanent; }
    location /loop { rewrite ^ /loop last; }
}
"""


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/flag", "return 201"),
        ("/trick", "return 204"),
        ("/old/x", "return 205"),
        ("/files/x", "return 206"),
        ("/index", "return 205"),
        ("/post", "return 208"),
        ("/away", "rewrite ^ https://other.example/ permanent"),
        ("/%66lag", "return 201"),
        ("/x/../flag", "return 201"),
        ("//flag", "return 201"),
    ],
)
def test_the_rewrite_module_is_followed(tmp_path, path, answer) -> None:
    found = met(tmp_path, ROUTED, f"ws://localhost{path}").found
    assert found.answer.words == answer


def test_what_cannot_be_decided_is_said(tmp_path) -> None:
    loop = met(tmp_path, ROUTED, "ws://localhost/loop")
    assert any("ten internal redirects" in one for one in loop.unsure)
    files = met(tmp_path, ROUTED, "ws://localhost/files/x")
    assert any("try_files" in one for one in files.unsure)
    text = place(f"if ($cookie_beta) {{ return 403; }} proxy_pass http://app; {GOOD}")
    found = met(tmp_path, text, URL)
    assert kinds(found) == []
    assert any("$cookie_beta" in one for one in found.unsure)
    hostile = "server { location ~ ^/((a+)+)\\1$ { return 201; } location / { return 202; } }"
    found = met(tmp_path, hostile, "ws://localhost/" + "a" * 60)
    assert (code(found), len(found.unsure)) == ("202", 1)
    unread = met(tmp_path, place("proxy_pass http://app; include gone/proxy.conf;"), URL)
    assert any("gone/proxy.conf" in one for one in unread.unsure)


def test_the_scheme_decides_where_ports_are_mapped(tmp_path) -> None:
    text = """
    server { listen 80; server_name a.example; return 301 https://$host$request_uri; }
    server { listen 443 ssl; server_name a.example; location / { return 201; } }
    """
    assert met(tmp_path, text, "wss://a.example:8443/").found.answer.words == "return 201"
    assert met(tmp_path, text, "ws://a.example:8080/").found.answer.args[0] == "301"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "201"), ("127.0.0.2", "202"), ("10.0.0.9", "203"), ("name.example", "204")],
)
def test_the_address_that_is_listened_on_decides_first(tmp_path, host, expected) -> None:
    text = """
    server { listen 127.0.0.1:8000; location / { return 201; } }
    server { listen 127.0.0.2:8000; location / { return 202; } }
    server { listen 8000 default_server; location / { return 203; } }
    server { listen 8000; server_name name.example; location / { return 204; } }
    """
    assert code(met(tmp_path, text, f"ws://{host}:8000/")) == expected


def test_nested_locations_are_looked_at_before_patterns_outside(tmp_path) -> None:
    text = """server {
        location /a { location ~ b$ { return 201; } location /a/c { return 202; } return 203; }
        location ~ c$ { return 204; }
        location ^~ /d { location ~ x { return 205; } return 206; }
        location ~ x { return 207; }
        location ~* "^/quoted{1}$" { return 208; }
    }"""
    expected = {
        "/a/b": "201",
        "/a/c": "204",
        "/a/z": "203",
        "/d/x": "205",
        "/d/y": "206",
        "/x": "207",
        "/QUOTED": "208",
    }
    assert {path: code(met(tmp_path, text, f"ws://localhost{path}")) for path in expected} == expected


def test_a_prefix_with_a_slash_redirects_the_path_without(tmp_path) -> None:
    text = (
        "server { location / { root /srv; } location /ws/ { proxy_pass http://app; } "
        "location = /exact { return 201; } }"
    )
    found = met(tmp_path, text, URL)
    assert [(one.kind, one.status) for one in found.defects] == [("slash", 301)]
    assert kinds(met(tmp_path, text, "ws://localhost/wss")) == ["route"]


@pytest.mark.parametrize(
    "text",
    [
        place("proxy_pass http://app;"),
        place("proxy_pass http://app; proxy_set_header X-A 1;", GOOD),
        place("proxy_pass http://app;", "proxy_set_header X-Token 'a b';"),
        place("proxy_pass http://app;", "proxy_set_header X-Quote 'a \\'\"b; {c}';"),
        good("$http_connection", "close"),
        good(
            "proxy_set_header Connection $http_connection;",
            "proxy_set_header\n          Connection\n  close ;",
        ),
        "server { location /ws { proxy_pass http://app; } }\n",
        "server { location /ws { proxy_pass http://app; } }",
        (
            "server { listen 80; # proxy_pass http://no;\n location /ws { # {\n proxy_pass "
            "http://app; # last\n } }\n"
        ),
        "server{location /ws{proxy_pass http://app;proxy_http_version 1.0;}}",
        place("if ($http_upgrade) { proxy_pass http://app; }"),
    ],
)
def test_what_is_corrected_has_no_defect_and_keeps_what_it_inherited(tmp_path, text) -> None:
    before = met(tmp_path, text, URL)
    headers = set(before.found.headers)
    for _ in range(2):  # the upgrade, then Host
        read = read_in(tmp_path, {"app.conf": (tmp_path / "app.conf").read_text()}, "app.conf")
        found = read.meets(parse_target(URL)[0])
        assert found is not None
        for defect in found.defects[:1]:
            after = mend(read, defect, URL)
            assert defect.kind not in kinds(after)
            git_applies(read, defect)
    after = met_in(tmp_path, {}, URL, "app.conf")
    assert kinds(after) == []
    assert headers <= set(after.found.headers)


INCLUDED = {
    "nginx.conf": (
        "events {}\nhttp { include conf.d/*.conf; include sites-enabled/*; include gone/mime.types; }\n"
    ),
    "conf.d/app.conf": place(
        "proxy_pass http://app;", "server_name app.example; proxy_set_header Authorization hidden;"
    ),
    "sites-available/site": place("proxy_pass http://app;", "server_name site.example;"),
    "conf.d/.hidden.conf": "server { server_name site.example; return 500; }",
}


def test_a_finding_gets_file_line_and_diff_and_no_secret(tmp_path) -> None:
    read = read_in(tmp_path, INCLUDED)
    assert read.problems == (f"{tmp_path / 'nginx.conf'}:2: include gone/mime.types: it is not there",)
    better, explained = with_configuration(
        judgement("WS-HS-101", title="removed"), (read,), parse_target("ws://app.example/ws")[0]
    )
    (finding,) = better.findings
    fix = finding.fixes[0].as_json()
    app = str(tmp_path / "conf.d" / "app.conf")
    assert (fix["file"], fix["line"]) == (app, 4)
    assert "--- a/conf.d/app.conf" in fix["diff"]
    assert "+        proxy_set_header Upgrade $http_upgrade;" in fix["diff"]
    # A fixed "upgrade" for every request is advice that docs/findings.md warns of.
    assert "+        proxy_set_header Connection $http_connection;" in fix["diff"]
    assert "hidden" not in str(better)
    assert "Authorization ***" in fix["diff"]
    assert "--write" in fix["text"]
    assert f"location /ws in {app}:3: HTTP/1.0 to the server" in better.headline
    assert finding.confidence == "high"
    assert explained is not None
    assert "hidden" in explained.diffs[0].exact
    other, nothing = with_configuration(
        judgement("WS-HS-017"), (read,), parse_target("ws://app.example/ws")[0]
    )
    assert other.findings[0].evidence == ("seen",)
    assert nothing is None
    assert any("does not explain it" in one for one in other.ruled_out)


def test_a_link_is_followed_and_the_file_behind_it_patched(tmp_path) -> None:
    write_files(tmp_path, INCLUDED)
    (tmp_path / "sites-enabled").mkdir()
    (tmp_path / "sites-enabled" / "site").symlink_to("../sites-available/site")
    read = read_in(tmp_path, {})
    found = read.meets(parse_target("ws://site.example/ws")[0])
    assert found is not None
    assert found.at.file == str(tmp_path / "sites-enabled" / "site")
    git_applies(read, found.defects[0])
    assert "proxy_http_version 1.1;" in (tmp_path / "sites-available" / "site").read_text()
    assert (tmp_path / "sites-enabled" / "site").is_symlink()


def test_what_nginx_prints_is_read_with_its_own_files_and_lines(tmp_path) -> None:
    text = "nginx: the configuration file syntax is ok\n" + "".join(
        f"# configuration file /etc/nginx/{name}:\n{text}\n" for name, text in INCLUDED.items()
    ).replace("include sites-enabled/*;", "include /etc/nginx/sites-available/*;")
    (read,) = read_configurations(["-"], text)
    found = read.meets(parse_target("ws://site.example/ws")[0])
    assert found is not None
    assert str(found.at) == "/etc/nginx/sites-available/site:3"
    assert str(found.defects[0].at) == "/etc/nginx/sites-available/site:4"
    # Nothing of this machine is read instead of what was not printed.
    other = "# configuration file /a/nginx.conf:\nhttp { include /etc/passwd; server { return 201; } }\n"
    (read,) = read_configurations(["-"], other)
    assert any("/etc/passwd" in one for one in read.problems)
    # Without markers it is one file.
    (read,) = read_configurations(["-"], place("proxy_pass http://app;"))
    found = read.meets(parse_target(URL)[0])
    assert found is not None
    assert str(found.at) == "stdin:3"


NPM = {
    "etc/nginx/nginx.conf": (
        "events {} http { include /etc/nginx/conf.d/*.conf; include /data/nginx/proxy_host/*.conf; }"
    ),
    "etc/nginx/conf.d/include/proxy.conf": """add_header X-Served-By $host;
proxy_set_header Host $host;
proxy_set_header X-Forwarded-Scheme $scheme;
proxy_pass $forward_scheme://$server:$port$request_uri;
""",
    "data/nginx/proxy_host/7.conf": """# ------------------------------------------------------------
# chat.example
map $scheme $hsts_header { https "max-age=63072000"; }
server {
  set $forward_scheme http;
  set $server "app";
  set $port 3000;
  listen 80;
  server_name chat.example;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $http_connection;
  proxy_http_version 1.1;
  location /socket {
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_pass       http://app:3000;
    proxy_set_header X-Real-IP $remote_addr;
  }
  location / {
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $http_connection;
    proxy_http_version 1.1;
    include conf.d/include/proxy.conf;
  }
  location /plain {
    include conf.d/include/proxy.conf;
  }
}
""",
}


@pytest.mark.parametrize(
    "paths", [("etc/nginx", "data/nginx"), ("etc/nginx", "data/nginx/proxy_host/7.conf")]
)
def test_nginx_proxy_managers_tree(tmp_path, paths) -> None:
    """Copied out of its container, so that the absolute paths in it are elsewhere."""
    read = read_in(tmp_path, NPM, *paths)
    assert read.problems == ()
    host = str(tmp_path / "data/nginx/proxy_host/7.conf")
    custom = read.meets(parse_target("ws://chat.example/socket")[0])
    whole = read.meets(parse_target("ws://chat.example/")[0])
    plain = read.meets(parse_target("ws://chat.example/plain")[0])
    assert custom is not None
    assert whole is not None
    assert plain is not None
    assert (custom.words, str(custom.at), kinds(custom)) == ("location /socket", f"{host}:13", ["upgrade"])
    assert "cancels that of" in custom.defects[0].words
    assert kinds(whole) == []
    assert kinds(plain) == ["upgrade"]
    # What all hosts share is left alone: the lines come into the location.
    assert {one.file for one in plain.defects[0].edits} == {host}
    assert kinds(mend(read, plain.defects[0], "ws://chat.example/plain")) == []
    git_applies(read, custom.defects[0])


@pytest.mark.parametrize(
    ("value", "added"),
    [
        ("$connection_upgrade", "$connection_upgrade"),
        ('"upgrade"', "upgrade"),
        ("close", "$http_connection"),
        ("$not_known", "$http_connection"),
    ],
)
def test_a_cancelled_line_that_was_right_is_written_again(tmp_path, value, added) -> None:
    maps = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n"
    upgrade = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
    outer = f"{upgrade} proxy_set_header Connection {value};"
    text = maps + place("proxy_set_header Host $http_host;\n        proxy_pass http://app;", outer)
    (defect,) = met(tmp_path, text, URL).defects
    lines = "".join(edit.text for edit in defect.edits)
    assert f"proxy_set_header Connection {added};\n" in lines
    assert lines.count("proxy_set_header") == 2


def test_nginx_proxy_managers_hosts_alone_say_what_is_missing(tmp_path) -> None:
    read = read_in(tmp_path, NPM, "data/nginx/proxy_host")
    assert any("conf.d/include/proxy.conf: it is not there" in one for one in read.problems)
    found = read.meets(parse_target("ws://chat.example/plain")[0])
    assert found is not None
    assert kinds(found) == []
    assert any("conf.d/include/proxy.conf" in one for one in found.unsure)
    custom = read.meets(parse_target("ws://chat.example/socket")[0])
    assert custom is not None
    assert kinds(custom) == ["upgrade"]


@pytest.mark.parametrize(
    ("inside", "seen", "explains"),
    [
        ("", "silence s>c before the end: 60.2 s", True),
        ("", "silence s>c before the end: 75.0 s", False),
        ("proxy_read_timeout 75s;", "silence s>c before the end: 75.0 s", True),
        ("proxy_read_timeout 1h30m;", "silence s>c before the end: 60.1 s", False),
    ],
)
def test_a_limit_is_named_where_the_time_is_its_own(tmp_path, inside, seen, explains) -> None:
    read = read_in(tmp_path, {"a.conf": place(f"proxy_pass http://app; {inside} {GOOD}")}, "a.conf")
    better, explained = with_configuration(judgement("WS-DROP-002", seen), (read,), parse_target(URL)[0])
    assert (explained is not None) == explains
    assert ("proxy_read_timeout 3600s;" in str(better.findings[0].fixes)) == explains


@pytest.mark.parametrize(
    ("rule", "inside", "evidence", "explains"),
    [
        ("WS-HS-010", "return 403;", f"403 Forbidden\n{WROTE}", True),
        ("WS-HS-010", "return 403;", "403 Forbidden", False),
        ("WS-HS-010", "return 403 closed;", "403 Forbidden", True),
        ("WS-HS-010", "error_page 403 /no; deny all; proxy_pass http://app;", "403 Forbidden", True),
        ("WS-HS-010", "return 404;", "403 Forbidden", False),
        ("WS-HS-009", "auth_basic Private; proxy_pass http://app;", f"401\n{WROTE}", True),
        ("WS-HS-009", "auth_request /a; proxy_pass http://app;", "401\nthe answer says: no token", False),
        ("WS-HS-005", "return 301 https://$host$request_uri;", "Location: https://a", True),
        ("WS-HS-101", "return 403;", "403 Forbidden", False),
        ("WS-HS-020", "proxy_pass http://app;", "502 Bad Gateway", True),
    ],
)
def test_a_defect_is_named_only_where_it_explains_what_was_seen(
    tmp_path, rule, inside, evidence, explains
) -> None:
    read = read_in(tmp_path, {"a.conf": place(inside)}, "a.conf")
    _, explained = with_configuration(judgement(rule, *evidence.splitlines()), (read,), parse_target(URL)[0])
    assert (explained is not None) == explains


def test_another_products_answer_is_not_blamed_on_nginx(tmp_path) -> None:
    read = read_in(tmp_path, {"a.conf": place("proxy_pass http://app;")}, "a.conf")
    _, explained = with_configuration(judgement("WS-HS-101", hop="Envoy"), (read,), parse_target(URL)[0])
    assert explained is None


def test_what_is_no_configuration_is_said(tmp_path) -> None:
    broken = tmp_path / "broken.conf"
    broken.write_text("http { server { listen 80 }\n")
    with pytest.raises(UsageError, match=r"broken\.conf:1"):
        read_configurations([str(broken)])
    with pytest.raises(UsageError, match="is not there"):
        read_configurations([str(tmp_path / "gone")])
    for text in ("", "\n\n", "hello there", "\x1b[31m{{{{", "}" * 1000):
        broken.write_text(text)
        with pytest.raises(UsageError):
            read_configurations([str(broken)])


def test_hostile_files_end_in_problems(tmp_path) -> None:
    deep = "server {\n" + "location / {\n" * 5000 + "}" * 5001
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "huge").open("wb") as stream:
        stream.truncate(1 << 40)
    names = ["itself.conf", "pipe", "loop", "huge", "/dev/zero", "/", "deep.conf", "binary"]
    includes = " ".join(f"include {name};" for name in names)
    files = {"itself.conf": "include itself.conf;", "deep.conf": deep, "binary": "\0\1\2"}
    read = read_in(
        tmp_path, {**files, "a.conf": f"http {{ {includes} {place('proxy_pass http://app;')} }}"}, "a.conf"
    )
    assert len(read.problems) >= len(names)
    assert all("\n" not in one and len(one) < 300 for one in read.problems)
    assert read.meets(parse_target(URL)[0]) is not None


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        # What ends the rewrite module in an `if` ends it around the `if`, too.
        (f"if ($http_upgrade = websocket) {{ break; }} return 403; proxy_pass http://app; {GOOD}", []),
        ("if ($http_upgrade) { rewrite ^ /inner last; } return 404;", ["upgrade", "host"]),
        ("rewrite ^/ws$ /inner; if ($http_upgrade) { set $a b; }", ["upgrade", "host"]),
        (f"if ($http_upgrade = h2c) {{ break; }} return 403; proxy_pass http://app; {GOOD}", ["answer"]),
        # Where a path has no file, try_files comes before proxy_pass.
        (f"try_files $uri $uri/ /index.html; proxy_pass http://app; {GOOD}", ["route"]),
        (f"try_files $uri =404; proxy_pass http://app; {GOOD}", ["answer"]),
        (f"try_files /nonexistent @$kind; {GOOD}", ["upgrade", "host"]),
        (f"try_files $uri @web; {GOOD}", []),
        # `allow all` lets everybody pass what comes behind it.
        (f"allow all; deny all; proxy_pass http://app; {GOOD}", []),
        (f"allow 10.0.0.0/8; deny all; proxy_pass http://app; {GOOD}", ["answer"]),
    ],
)
def test_the_order_in_which_nginx_decides(tmp_path, inside, expected) -> None:
    around = f"""map $http_upgrade $kind {{ default web; websocket ws; }}
server {{
    location /ws {{ {inside} }}
    location /inner {{ internal; rewrite ^ /ws break; proxy_pass http://app; }}
    location @ws {{ proxy_pass http://app; }}
    location @web {{ proxy_pass http://app; {GOOD} }}
}}
"""
    assert kinds(met(tmp_path, around, URL)) == expected


def test_the_last_of_try_files_is_looked_for_in_the_same_location(tmp_path) -> None:
    text = f"server {{ location / {{ try_files $uri /index.html; proxy_pass http://app; {GOOD} }} }}"
    found = met(tmp_path, text, URL)
    assert kinds(found) == ["path"]
    assert "'try_files $uri /index.html' makes /ws into /index.html" in found.defects[0].words


@pytest.mark.parametrize(
    ("host", "wildcard", "expected"),
    [
        ("a.example.com", "*.example.com close;", ["upgrade"]),
        ("a.example.com", "*.example.com close; *.a.example.com upgrade;", ["upgrade"]),
        ("example.com", "*.example.com close;", []),
        ("example.com", ".example.com close;", ["upgrade"]),
        ("example.com", ".example.com close; example.com upgrade;", []),
        ("www.example.net", "www.example.* close;", ["upgrade"]),
        ("other.org", "*.example.com close; www.example.* close;", []),
    ],
)
def test_a_map_of_hostnames(tmp_path, host, wildcard, expected) -> None:
    text = place(f"proxy_pass http://app; {GOOD.replace('$http_connection', '$kind')}")
    text += f"map $host $kind {{ hostnames; default upgrade; {wildcard} }}\n"
    assert kinds(met(tmp_path, text, f"ws://{host}/ws")) == expected


def test_a_group_of_the_servers_name_is_known(tmp_path) -> None:
    text = "server { server_name ~^(?<who>\\w+)\\.example$; if ($who = a) { return 403; } return 404; }"
    assert [one.status for one in met(tmp_path, text, "ws://a.example/").defects] == [403]
    assert [one.status for one in met(tmp_path, text, "ws://b.example/").defects] == [404]


def test_a_redirect_of_the_server_comes_before_that_of_a_location(tmp_path) -> None:
    text = place("proxy_pass http://app;", "if ($scheme = http) { return 301 https://$host$request_uri; }")
    text = text.replace("location /ws ", "location /ws/ ")
    assert kinds(met(tmp_path, text, URL)) == ["answer"]
    assert kinds(met(tmp_path, text, URL.replace("ws://", "wss://"))) == ["slash"]


@pytest.mark.parametrize(
    ("listen", "rule", "evidence", "line"),
    [
        ("listen 80 proxy_protocol;", "WS-HS-035", "closed", "listen 80 proxy_protocol"),
        ("listen 80; ssl_verify_client on;", "WS-TLS-015", "400", "ssl_verify_client on"),
    ],
)
def test_what_ends_a_connection_before_its_request(tmp_path, listen, rule, evidence, line) -> None:
    read = read_in(tmp_path, {"a.conf": place(f"proxy_pass http://app; {GOOD}", listen)}, "a.conf")
    _, explained = with_configuration(judgement(rule, evidence), (read,), parse_target(URL)[0])
    assert explained is not None
    assert line in explained.defect.words
    other = read_in(tmp_path, {"a.conf": place(f"proxy_pass http://app; {GOOD}", "listen 80;")}, "a.conf")
    assert with_configuration(judgement(rule, evidence), (other,), parse_target(URL)[0])[1] is None


@pytest.mark.parametrize("blank", ["\x0c", "\x0b", "\x1c", "\x85", "\u2028"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_a_line_feed_ends_a_line(tmp_path, blank, end) -> None:
    text = place(f"# one {blank} two{end}        proxy_pass http://app;")
    (tmp_path / "a.conf").write_bytes(text.replace("\n", end).replace("\r\r", "\r").encode())
    (read,) = read_configurations([str(tmp_path / "a.conf")])
    found = read.meets(parse_target(URL)[0])
    assert found is not None
    assert "proxy_pass" in text.split("\n")[found.defects[0].at.line - 1]
    assert kinds(mend(read, found.defects[0], URL)) == ["host"]
    git_applies(read, found.defects[0])


def test_a_sites_own_file_includes_from_the_folder_of_nginx(tmp_path) -> None:
    files = {
        "nginx.conf": "http { include sites/*.conf; }",
        "sites/a.conf": place("proxy_pass http://app; include snippets/ws.conf;"),
        "snippets/ws.conf": GOOD,
    }
    read = read_in(tmp_path, files, "sites/a.conf")
    found = read.meets(parse_target(URL)[0])
    assert found is not None
    assert not read.problems
    assert kinds(found) == []
