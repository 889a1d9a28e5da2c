"""HAProxy's configuration: which frontend and backend a URL meets, and what they do to a handshake."""

from __future__ import annotations

import pytest

from tests.support.configurations import (
    ends_in_an_answer,
    git_applies,
    judgement,
    kinds,
    mend,
    met_in,
    read_in,
)
from wsinspect.doctor.configuration.haproxy.tree import words_of
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.target import parse_target

CONFIG = """# the edge
global
    log /dev/log local0
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 40s
frontend web
    bind *:80
    bind *:443 ssl crt /etc/ssl/site.pem
    acl is_socket hdr(Upgrade) -i WebSocket
    acl is_socket hdr_beg(Host) -i ws
    acl is_api path_beg /api /v2
    acl blocked src 10.0.0.0/8
    redirect scheme https code 301 if !{ ssl_fc } { path /secure }
    http-request deny deny_status 429 if { path -m end .php }
    http-request deny if blocked { path_beg /inside }
    http-request set-path /moved if { path /here }
    use_backend by_map if { path_beg /map } { hdr(X-Kind),map(/etc/kinds) -m found }
    use_backend api if is_api !is_socket or { path_reg ^/v[3-9]/ }
    use_backend stripped if { path_dir stripped }
    use_backend second if { path_beg /h2 }
    use_backend gone if { path_beg /gone }
    default_backend sockets
backend api
    server a1 10.0.0.1:3000
backend sockets
    server s1 10.0.0.1:3000 check
backend stripped
    http-request del-header Upgrade
    http-request set-header Host inside.example
    http-request set-header Cookie "secret"
    http-request set-header X-Forwarded-Proto https
    server s1 10.0.0.1:3000
backend second
    server s1 10.0.0.1:3000 ssl verify none alpn h2,http/1.1  # the cluster
listen direct
    bind 127.0.0.1:9000-9010
    timeout tunnel 10m
    server s1 10.0.0.1:3000
frontend raw
    mode tcp
    bind *:7000
    default_backend sockets
"""


@pytest.mark.parametrize(
    ("url", "place", "expected"),
    [
        ("ws://h/", "backend sockets", []),
        ("ws://h/api/x", "backend sockets", []),
        ("ws://h/v3/x", "backend api", []),
        ("ws://h/a/stripped/b", "backend stripped", ["upgrade", "host", "credentials"]),
        ("wss://h/h2", "backend second", ["h2"]),
        ("ws://h/secure", "frontend web", ["answer"]),
        ("wss://h/secure", "backend sockets", []),
        ("ws://h/x.php", "frontend web", ["answer"]),
        ("ws://h/gone", "frontend web", ["answer"]),
        ("ws://h/inside", "backend sockets", []),
        ("ws://h/map", "backend sockets", []),
        ("ws://h/here", "backend sockets", ["path"]),
        ("ws://h:9003/", "listen direct", []),
        ("ws://h:7000/a/stripped/b", "backend sockets", []),
        ("wss://h:8443/", "backend sockets", []),
    ],
)
def test_what_a_url_meets(tmp_path, url, place, expected) -> None:
    found = met_in(tmp_path, {"haproxy.cfg": CONFIG}, url)
    assert (found.words, kinds(found)) == (place, expected)


def test_what_is_not_known_is_said(tmp_path) -> None:
    for url, words in (("ws://h/inside", "src"), ("ws://h/map", "map"), ("ws://h:1234/", "port 1234")):
        assert any(words in one for one in met_in(tmp_path, {"haproxy.cfg": CONFIG}, url).unsure), url


@pytest.mark.parametrize(
    ("url", "kind"), [("ws://h/a/stripped/b", "upgrade"), ("wss://h/h2", "h2"), ("ws://h/here", "path")]
)
def test_the_diff_mends_it_and_applies(tmp_path, url, kind) -> None:
    read = read_in(tmp_path, {"haproxy.cfg": CONFIG})
    found = read.meets(parse_target(url)[0])
    assert found is not None
    assert kind not in kinds(mend(read, found.defects[0], url))
    git_applies(read, found.defects[0])


@pytest.mark.parametrize(
    ("url", "seen", "line", "added"),
    [
        ("ws://h/", "50.1 s", "'timeout client 50s'", "+    timeout tunnel 1h"),
        ("ws://h/", "40.2 s", "'timeout server 40s'", "+    timeout tunnel 1h"),
        ("ws://h:9000/", "600.3 s", "'timeout tunnel 10m'", "+    timeout tunnel 1h"),
        ("ws://h/", "60.0 s", None, ""),
        ("ws://h:9000/", "50.1 s", None, ""),
    ],
)
def test_the_timeout_that_ended_it(tmp_path, url, seen, line, added) -> None:
    read = read_in(tmp_path, {"haproxy.cfg": CONFIG})
    better, explained = with_configuration(
        judgement("WS-DROP-002", f"silence {seen}"), (read,), parse_target(url)[0]
    )
    if line is None:
        assert explained is None
        return
    assert explained is not None
    assert line in better.headline
    assert added in str(better.findings[0].fixes[0].diff)
    git_applies(read, explained.defect)


def test_secrets_stay_out_of_what_is_printed(tmp_path) -> None:
    text = CONFIG.replace(
        "http-request del-header Upgrade\n",
        "http-request set-header Authorization hidden\n    http-request del-header Upgrade\n",
    )
    read = read_in(tmp_path, {"haproxy.cfg": text})
    better, _ = with_configuration(judgement("WS-HS-101"), (read,), parse_target("ws://h/stripped/")[0])
    assert "hidden" not in str(better.findings[0].fixes)
    target = parse_target("ws://h/stripped/")[0]
    better, explained = with_configuration(judgement("WS-HS-009", "401"), (read,), target)
    assert explained is not None
    assert explained.defect.kind == "credentials"
    assert "hidden" not in str(better)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b\tc", ("a", "b", "c")),
        ("a 'b c' # d", ("a", "b c")),
        (r'a "b \" c" d\ e', ("a", 'b " c', "d e")),
        ("''", ("",)),
        ("  # nothing", ()),
        (r"a\#b", ("a#b",)),
        ("'unclosed", ("unclosed",)),
    ],
)
def test_words(text, expected) -> None:
    assert words_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "frontend\n" * 1000,
        "frontend a\n bind :80\n use_backend b if { { { {\nbackend b\n server x y alpn\n",
        (
            "frontend a\n bind :80\n use_backend b if !\n http-request\n http-request "
            "set-path\n redirect\nbackend b\n"
        ),
        "frontend a\n bind\n timeout\n timeout client\n acl x\n use_backend\n server\n",
        (
            "listen a\n bind :1-99999999\n bind :80\n http-request replace-path (a+)+$ "
            "\\9\\1 if { path_reg ((a*)*)*$ }\n server\n"
        ),
        "defaults a from b\ndefaults b from a\nfrontend x from a\n bind :80\n",
        "frontend a\n bind :80\n " + "x " * 100000,
    ],
)
def test_odd_files_end_in_an_answer(tmp_path, text) -> None:
    ends_in_an_answer(tmp_path / "haproxy.cfg", text, "ws://h/" + "a" * 40)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("http-request allow if { path_beg /ws }\n    http-request deny", []),
        ("http-request allow if { path_beg /api }\n    http-request deny", ["answer"]),
        ("tcp-request connection reject if TRUE", ["silent"]),
        ("tcp-request content reject if { req.hdr(upgrade) -m found }", ["silent"]),
        ("tcp-request connection accept if TRUE\n    tcp-request connection reject", []),
        ("tcp-request content reject if { req.hdr(range) -m found }", []),
        ("http-request deny if { hdr(host),lower,field(1,:) -m str app.example }", ["answer"]),
        ("http-request deny if { hdr(host),field(2,.) -m str other }", []),
        ("http-request deny if { path,word(1,/) -m str ws }", ["answer"]),
        ("http-request deny if { path,word(4,/) -m str ws }", []),
    ],
)
def test_what_is_decided_before_a_server_is_asked(tmp_path, rules, expected) -> None:
    text = f"defaults\n    mode http\nlisten web\n    bind :80\n    {rules}\n    server a 127.0.0.1:3000\n"
    found = met_in(tmp_path, {"haproxy.cfg": text}, "ws://App.example/ws")
    assert kinds(found) == expected


@pytest.mark.parametrize(
    ("bind", "rule"),
    [("accept-proxy", "WS-HS-035"), ("ssl crt a.pem verify required ca-file b.pem", "WS-TLS-015")],
)
def test_a_bind_that_asks_for_more_than_a_request(tmp_path, bind, rule) -> None:
    text = "listen web\n    bind :80 BIND\n    mode http\n    server a 127.0.0.1:3000\n"
    for words, is_found in ((bind, True), ("", False)):
        read = read_in(tmp_path, {"haproxy.cfg": text.replace("BIND", words)})
        found = with_configuration(judgement(rule, "seen"), (read,), parse_target("ws://h/ws")[0])[1]
        assert (found is not None) == is_found


def test_what_may_end_a_connection_is_named_where_it_was_reset(tmp_path) -> None:
    text = (
        "listen web\n    bind :80\n    mode http\n    tcp-request connection reject if { src 10.0.0.0/8 }\n"
    )
    read = read_in(tmp_path, {"haproxy.cfg": f"{text}    server a 127.0.0.1:3000\n"})
    target = parse_target("ws://h/ws")[0]
    for said, is_found in (("connection reset by peer", True), ("connection refused", False)):
        found = with_configuration(judgement("WS-HS-032", said), (read,), target)[1]
        assert (found is not None) == is_found


PROXIED = """defaults
    mode http
backend other
    default-server send-proxy
frontend web
    bind :80
    default_backend app
backend app
    SERVER
"""
BAD_REQUEST = ("WS-HS-012", "HTTP/1.1 400 Bad Request")
GATEWAY = ("WS-HS-020", "HTTP/1.1 502 Bad Gateway")


def explained_by(folder, server, finding):
    read = read_in(folder, {"haproxy.cfg": PROXIED.replace("SERVER", server)}, "haproxy.cfg")
    return read, with_configuration(judgement(*finding), (read,), parse_target("ws://h/")[0])[1]


@pytest.mark.parametrize("finding", [BAD_REQUEST, GATEWAY])
@pytest.mark.parametrize(
    ("server", "left"),
    [
        ("server app 127.0.0.1:3000 send-proxy check", "server app 127.0.0.1:3000 check"),
        ("server app 127.0.0.1:3000\tsend-proxy", "server app 127.0.0.1:3000"),
        (
            "server send-proxy-v2 127.0.0.1:3000 check   send-proxy-v2 # send-proxy-v2",
            "server send-proxy-v2 127.0.0.1:3000 check # send-proxy-v2",
        ),
        (
            "default-server check send-proxy\n    server app 127.0.0.1:3000",
            "default-server check\n    server app 127.0.0.1:3000",
        ),
    ],
)
def test_a_proxy_header_may_be_why_a_server_refuses(tmp_path, finding, server, left) -> None:
    read, explained = explained_by(tmp_path, server, finding)
    assert explained is not None
    assert explained.defect.kind == "preamble"
    git_applies(read, explained.defect)
    assert (tmp_path / "haproxy.cfg").read_text() == PROXIED.replace("SERVER", left)


@pytest.mark.parametrize(
    ("server", "finding"),
    [
        # HAProxy made no connection: what it would have sent is not why.
        ("server app 127.0.0.1:3000 send-proxy", ("WS-HS-021", "HTTP/1.1 503 Service Unavailable")),
        ("server app 127.0.0.1:3000 send-proxy", (*BAD_REQUEST, "the answer says: bad Sec-WebSocket-Key")),
        (
            "server app 127.0.0.1:3000 send-proxy",
            (*BAD_REQUEST, "HAProxy itself wrote this answer (body: <h1>400 Bad request</h1>)"),
        ),
        ("server send-proxy 127.0.0.1:3000 check", BAD_REQUEST),
        ("server app 127.0.0.1:3000 # send-proxy", BAD_REQUEST),
        ("default-server send-proxy\n    server app 127.0.0.1:3000 no-send-proxy", BAD_REQUEST),
        ("server app 127.0.0.1:3000\n    default-server send-proxy", BAD_REQUEST),
    ],
)
def test_a_proxy_header_is_not_blamed_where_it_cannot_be_why(tmp_path, server, finding) -> None:
    _, explained = explained_by(tmp_path, server, finding)
    assert explained is None or explained.defect.kind == "upstream"


def test_a_quoted_hash_begins_no_comment(tmp_path) -> None:
    server = 'server app 127.0.0.1:3000 ssl verify none sni str("a#b") alpn h2'
    read, explained = explained_by(tmp_path, server, ("WS-HS-101", "seen"))
    assert explained is not None
    git_applies(read, explained.defect)
    assert "server app 127.0.0.1:3000 ws h1 ssl" in (tmp_path / "haproxy.cfg").read_text()


@pytest.mark.parametrize(
    "rule", ["replace-path /a/.*) /x", "replace-uri (a+)+(?=b) /x", "replace-pathq [ /x"]
)
def test_a_path_rule_whose_pattern_cannot_be_read_is_not_decided(tmp_path, rule) -> None:
    text = PROXIED.replace("    bind", f"    http-request {rule}\n    bind").replace(
        "SERVER", "server a :3000"
    )
    met = met_in(tmp_path, {"haproxy.cfg": text}, "ws://h/a/b", "haproxy.cfg")
    assert kinds(met) == []
    assert any(rule.split()[1] in one for one in met.unsure)
