"""What findings say of an answer: its own words first, what was sent, and how accepted attempts differ."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import (
    HELLO,
    START,
    cut,
    ended,
    failed,
    frame,
    refused,
    request,
    switching,
)
from tests.unit.findings.triggers_answers import C2S_TEXT, CASES, NOT_HTTP, TEXT_LATER, early, other, tunnel
from wsinspect.findings.facts import C2S, S2C, EndFact
from wsinspect.findings.fixes import FIXES
from wsinspect.findings.quotes import protocol_of, quote
from wsinspect.findings.registry import diagnose_connection
from wsinspect.vocabulary import Lack


def first(facts):
    return diagnose_connection(facts)[0]


NGINX_403 = (
    b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n"
    b"<center><h1>403 Forbidden</h1></center>\r\n"
    b"<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
)
APACHE_403 = (
    b'<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n<title>403 Forbidden</title>\n'
    b"</head><body>\n"
    b"<h1>Forbidden</h1>\n<p>You don't have permission to access this resource.</p>\n<hr>\n"
    b"<address>Apache/2.4.57 (Debian) Server at 127.0.0.1 Port 80</address>\n</body></html>\n"
)
HAPROXY_502 = (
    b"<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n"
    b"</body></html>\n"
)

APACHE_500 = (
    b"<html><head>\n<title>500 Proxy Error</title>\n</head><body>\n<h1>Proxy Error</h1>\n"
    b"<p>The proxy server could not handle the request<p>Reason: <strong>Error during SSL Handshake with"
    b" remote server</strong></p></p>\n<hr>\n<address>Apache/2.4.71 (Debian) Server at h Port 80</address>\n"
    b"</body></html>\n"
)


@pytest.mark.parametrize(
    ("body", "reason", "expected"),
    [
        (NGINX_403, "Forbidden", None),
        (APACHE_403, "Forbidden", "You don't have permission to access this resource."),
        (HAPROXY_502, "Bad Gateway", "The server returned an invalid or incomplete response."),
        (APACHE_500, "Proxy Error", "Reason: Error during SSL Handshake with remote server"),
        (b'{"code":3,"message":"Bad request"}', "Bad Request", '{"code":3,"message":"Bad request"}'),
        (b'{"error":{"message":"bad token"},"x":"' + b"y" * 300 + b'"}', "", "bad token"),
        (b"Forbidden", "Forbidden", None),
        (b"<p>Hello.</p><p>The token has <b>expired</b>.</p>", "Unauthorized", "The token has expired."),
        (
            b"<script>var token = 1</script><p>Origin &quot;x&quot; not allowed</p>",
            "",
            'Origin "x" not allowed',
        ),
        (b"<!doctype html><title>My shop</title><div id=root></div>", "OK", "a page titled 'My shop'"),
        (b"", "", None),
        (b"\x00\x01\x02", "", None),
        (b"a" * 500, "", "a" * 197 + "..."),
        (b"[" * 5000, "", "[" * 197 + "..."),
    ],
    ids=range(14),
)
def test_a_body_is_quoted_up_to_the_sentence_that_matters(body, reason, expected):
    assert quote(body, reason) == expected


def test_a_compressed_body_is_read():
    import gzip

    facts = refused("403 Forbidden", gzip.compress(b"<p>The token has expired.</p>"), Content_Encoding="gzip")
    assert "the answer says: The token has expired." in first(facts).evidence
    broken = refused("403 Forbidden", b"\x1f\x8bno gzip", Content_Encoding="gzip")
    assert first(broken).id == "WS-HS-010"


def test_the_words_come_first():
    for status in (
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "500 Error",
        "502 Bad",
    ):
        found = first(refused(status, b"<p>The room is not open</p>"))
        assert status in found.evidence[0]
        assert found.evidence[1] == "the answer says: The room is not open"


@pytest.mark.parametrize(("name", "data"), NOT_HTTP.items())
def test_bytes_that_are_not_http_are_shown_and_named(name, data):
    found = first(early(data))
    assert found.id == "WS-HS-041"
    assert (protocol_of(data) is None) == (name == "unknown")
    shown = {"ssh": "SSH-2.0-OpenSSH", "mysql": "8.0.36", "redis": "-ERR unknown command"}.get(name, "")
    assert shown in found.evidence[0]


@pytest.mark.parametrize(
    ("greeting", "name"),
    [
        (b"220 mx1.example.org ESMTP Postfix\r\n", "a mail server's greeting (SMTP)"),
        (b"220 mail.example.org FTP server ready\r\n", "an FTP server's greeting"),
        (b"220 (vsFTPd 3.0.3)\r\n", "an FTP server's greeting"),
        (b"220 ready\r\n", "a mail or FTP server's greeting"),
        (b"ERROR\r\n", "a memcached server's error"),
        (b"\xff\xfd\x18", "a Telnet server's negotiation"),
    ],
)
def test_a_greeting_is_named_by_its_own_words(greeting, name):
    assert protocol_of(greeting) == name


@pytest.mark.parametrize(("waited", "severity"), [(0.3, "warning"), (5.0, "error")])
def test_half_a_header_block_is_less_sure_where_the_client_did_not_wait(waited, severity):
    """The rest may have been on its way to a page that was left."""
    left: dict[str, Any] = {
        "ends": (EndFact("client", "fin", START + int(waited * 10**9)),),
        "times": {"request_out_ns": START},
    }
    found = first(early(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", **left))
    assert (found.id, found.severity) == ("WS-HS-042", severity)
    assert bool(found.causes) == (severity == "warning")
    assert first(early(NOT_HTTP["ssh"], **left)).severity == "error"
    endless = b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-More: " + b"x" * 20_000
    assert first(early(endless, **left)).severity == "error"


def test_a_header_block_that_never_ended_is_not_a_101_that_lacks_fields():
    found = diagnose_connection(
        early(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", status=101)
    )
    assert [one.id for one in found] == ["WS-HS-042"]


def test_a_demand_for_a_subprotocol_is_told_from_a_refused_one():
    body = b"invalid or missing subprotocol"
    bare = first(refused("400 Bad Request", body))
    assert bare.title.endswith("and none was offered")
    assert [one.text for one in bare.fixes] == [
        FIXES["no-subprotocol"]["general"]
    ]  # nothing to change at the server
    offered = first(refused("400 Bad Request", body, head=request(Sec_WebSocket_Protocol="v1")))
    assert (offered.id, offered.title) == ("WS-HS-043", "The server refused the offered subprotocols")


# -- credentials


def test_401_without_credentials_says_so():
    found = first(refused("401 Unauthorized"))
    assert found.title == "401: the handshake carries no credentials"
    assert found.causes == ()


@pytest.mark.parametrize(
    ("where", "facts"),
    [
        ("Authorization", refused("401 Unauthorized", head=request(Authorization="Bearer secret-1"))),
        ("token in the query", refused("401 Unauthorized", path="/chat?token=secret-1")),
        ("cookie session", refused("401 Unauthorized", head=request(Cookie="theme=dark; session=secret-1"))),
        (
            "Sec-WebSocket-Protocol",
            refused("401 Unauthorized", head=request(Sec_WebSocket_Protocol="v1, auth-token.secret-1")),
        ),
    ],
)
@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_what_was_sent_is_said_and_a_hop_that_drops_it_is_ranked(where, facts, status):
    facts = replace(facts, status=int(status[:3]), raw_response_in=refused(status).raw_response_in)
    found = first(facts)
    assert found.id == f"WS-HS-0{'09' if status[:3] == '401' else '10'}"
    line = next(line for line in found.evidence if line.startswith("sent: "))
    assert where in line
    assert "secret-1" not in str([line for line in found.evidence if "Protocol" not in line])
    causes = [one.cause for one in found.causes]
    assert any("rejects the credentials" in cause for cause in causes)
    assert any("a hop behind this tap drops them" in cause for cause in causes)


@pytest.mark.parametrize(("body", "hop"), [(NGINX_403, "nginx"), (APACHE_403, "Apache httpd")])
def test_a_proxy_s_own_403_gets_a_fix_about_access_lists(body, hop):
    found = first(refused("403 Forbidden", body))
    assert (found.id, found.fault_of, found.hop) == ("WS-HS-010", "hop", hop)
    assert found.title == f"403: {hop} itself refuses this request"
    assert any(word in found.fixes[0].text for word in ("allow", "Require"))


SHORT_APACHE_403 = APACHE_403[: APACHE_403.index(b"<hr>")] + b"</body></html>\n"
STRICT = b'"-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd"'


@pytest.mark.parametrize(
    ("body", "hop"),
    [
        (SHORT_APACHE_403, "Apache httpd"),
        (SHORT_APACHE_403.replace(b'"-//IETF//DTD HTML 2.0//EN"', STRICT), "Apache httpd"),
        # Werkzeug's before version 2.1, and a page of somebody's own.
        (b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n<title>403 Forbidden</title>\n', None),
        (SHORT_APACHE_403.replace(b"<title>403 ", b"<title>"), None),
        (b"<p>" + SHORT_APACHE_403, None),
    ],
)
def test_apache_s_page_is_known_without_its_signature(body, hop):
    assert first(refused("403 Forbidden", body)).hop == hop


FIREWALL = "a web application firewall in"


def test_a_firewall_in_the_proxy_is_a_cause_of_its_403_with_its_own_lines():
    for body, software in ((NGINX_403, "nginx"), (APACHE_403, "apache")):
        found = first(refused("403 Forbidden", body))
        places = [FIREWALL in one.cause for one in found.causes]
        assert places.index(True) == 1, "an access list is more usual"
        assert [one.for_ for one in found.fixes] == [software, software, "general"]
        assert FIXES["waf"][software] == found.fixes[1].text


@pytest.mark.parametrize(
    ("facts", "is_first"),
    [
        ({}, False),
        ({"others": (other(7, User_Agent="browser"),)}, True),
        ({"others": (other(7, "/chat?id=1"),)}, True),
        ({"others": (other(7, Origin="https://b"),)}, False),
        ({"others": (other(7),)}, False),
    ],
)
def test_a_firewall_comes_first_where_words_of_the_request_are_what_differs(facts, is_first):
    found = first(refused("403 Forbidden", NGINX_403, facts=facts))
    mine = [one.cause for one in found.causes if not one.cause.startswith(("the server decides", "the "))]
    assert (FIREWALL in mine[0]) == is_first
    assert (found.fixes[0].text == FIXES["waf"]["nginx"]) == is_first
    says_so = NGINX_403.replace(b"</body>", b"<p>This error was generated by Mod_Security.</p></body>")
    assert FIREWALL in first(refused("403 Forbidden", says_so)).causes[0].cause


def test_a_403_of_who_has_no_such_module_names_no_firewall():
    for answer in (
        refused("403 Forbidden", b"<h1>403 Forbidden</h1>\nRequest forbidden by administrative rules."),
        refused("403 Forbidden", b"no\n"),
        refused("403 Forbidden", b"no\n", Server="nginx"),
    ):
        assert FIREWALL not in str(first(answer).causes)


# -- gateways


def causes(facts):
    return [one.cause for one in first(facts).causes]


def test_the_causes_of_a_502_follow_its_words():
    usual = causes(refused("502 Bad Gateway"))
    for words in (
        "nothing listens",
        "closes the connection without an answer",
        "invalid 101",
        "plain HTTP to a TLS",
    ):
        assert any(words in cause for cause in usual), words
    assert any("does not trust the application's certificate" in cause for cause in usual)
    assert "closes the connection without an answer" in causes(refused("502 Bad Gateway", HAPROXY_502))[0]
    envoy = (
        b"upstream connect error or disconnect/reset before headers. reset reason: remote connection failure,"
    )
    tls = envoy + b" transport failure reason: TLS_error: CERTIFICATE_VERIFY_FAILED"
    assert "certificate" in causes(refused("503 Service Unavailable", tls))[0]
    assert "nothing listens" in causes(refused("503 Service Unavailable", envoy))[0]


# -- accepted and refused


@pytest.mark.parametrize(
    ("what", "facts", "accepted"),
    [
        ("Origin", {"Origin": "http://evil.test"}, {}),
        ("Cookie", {}, {"Cookie": "session=1"}),
        ("Authorization", {}, {"Authorization": "Bearer x"}),
        ("Sec-WebSocket-Protocol", {"Sec_WebSocket_Protocol": "v2"}, {"Sec_WebSocket_Protocol": "v1"}),
        ("Sec-WebSocket-Extensions", {"Sec_WebSocket_Extensions": "permessage-deflate"}, {}),
        ("User-Agent", {"User_Agent": "curl/8"}, {"User_Agent": "Mozilla/5.0"}),
        ("Connection", {"Connection": "keep-alive, Upgrade"}, {}),
    ],
)
@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found"])
def test_what_differs_from_an_accepted_attempt_is_the_first_suspect(what, facts, accepted, status):
    found = first(refused(status, head=request(**facts), facts={"others": (other(7, **accepted),)}))
    assert f"#7 to the same path was accepted; this one differs in {what}" in found.evidence
    assert found.causes[0].cause.startswith(f"the {what}: ")
    key = what.replace("-", "_")
    there = "with another" if key in facts and key in accepted else "with" if key in accepted else "without"
    there = {"Connection": "with another", "Origin": "with another"}.get(what, there)
    assert found.title.endswith(f"; #7 was accepted {there} {what}")
    assert "session=1" not in str(found.evidence)


def test_a_path_s_slash_and_query_are_compared():
    slash = refused("404 Not Found", path="/chat/", facts={"others": (other(7),)})
    assert "differs in path's trailing slash" in str(first(slash).evidence)
    assert first(slash).title.endswith("; #7 was accepted without the path's trailing slash")
    query = refused("403 Forbidden", path="/chat?room=2", facts={"others": (other(7, "/chat?room=1"),)})
    assert "differs in query" in str(first(query).evidence)
    assert first(query).title.endswith("; #7 was accepted with another query")
    letters = refused("404 Not Found", path="/Chat", facts={"others": (other(7),)})
    assert first(letters).title.endswith("; #7 was accepted with the path in other letters")


def test_the_most_alike_is_compared_and_other_paths_are_not():
    far, near = other(7, Origin="http://x", User_Agent="a", Cookie="b=c"), other(8, Origin="http://x")
    found = first(refused("403 Forbidden", facts={"others": (far, near, other(9, "/else"))}))
    assert "#8 to the same path was accepted; this one differs in Origin" in found.evidence
    several = first(refused("403 Forbidden", facts={"others": (far,)}))
    assert several.title.endswith("; #7 was accepted with another Origin (and 2 more differences)")
    same = first(refused("403 Forbidden", facts={"others": (other(9),)}))
    assert "was accepted" not in same.title
    assert "#9 sent the same request headers and was accepted" in same.evidence
    alone = first(refused("403 Forbidden", facts={"others": (other(9, "/else"),)}))
    assert "#9" not in str(alone.evidence)


# -- text in the tunnel


def test_http_text_in_an_open_tunnel_says_which_frame_and_when():
    (found,) = [one for one in diagnose_connection(TEXT_LATER) if one.severity == "error"]
    assert (found.id, found.frame) == ("WS-HS-029", 9)
    assert found.title == "'HTTP/1.1 500 Internal Server Error' came where a WebSocket frame has to begin"
    assert any("read as frame 9" in line and "500 ms" in line for line in found.evidence)
    assert "WS-CL-020" not in [one.id for one in diagnose_connection(TEXT_LATER)]


def test_a_server_s_error_page_in_a_used_tunnel_may_be_its_own_end():
    page = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n"
    found = first(tunnel(page))
    assert found.id == "WS-HS-029"
    assert "worker" in found.causes[0].cause
    assert found.fixes[0].for_ == "gunicorn"
    for text in (b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\n\r\n", page.replace(b"500", b"400")):
        assert "gunicorn" not in [one.for_ for one in first(tunnel(text)).fixes]
    assert first(tunnel(page.replace(b"500", b"400"))).causes == ()


def test_http_text_from_the_client_is_the_client_s():
    text = replace(C2S_TEXT, violations=(), last_frames=HELLO)
    assert (first(text).id, first(text).fault_of) == ("WS-HS-029", "client")


def test_an_ordinary_cut_has_no_text_in_it():
    assert "WS-HS-029" not in [one.id for one in diagnose_connection(cut(*HELLO, at=0.4))]
    assert "WS-HS-029" not in [one.id for one in diagnose_connection(ended(*HELLO))]


def test_a_client_that_gives_up_ended_it_and_the_sentence_says_so():
    facts = failed(
        "server ended the connection before a response (fin)",
        "response",
        waited=12.0,
        ended_by="client",
        ends=(EndFact("client", "fin", START + 10 * 10**9),),
    )
    found = first(facts)
    assert found.id == "WS-HS-036"
    assert not any("server ended" in line for line in found.evidence)
    assert any("the client ended the connection (FIN)" in line for line in found.evidence)
    assert len(found.causes) == 2


@pytest.mark.parametrize(
    ("step", "words", "fault_of"),
    [
        ("server_tcp_start_ns", "while the connection to the server was not open yet", "network"),
        ("server_tcp_done_ns", "while TLS with the server was not finished yet", "server"),
        ("server_tls_done_ns", "before its request could be sent on", "server"),
    ],
)
def test_a_client_that_leaves_on_the_way_to_the_server_does_not_blame_what_was_never_asked(
    step: str, words: str, fault_of: str
):
    def left(after: float, begun: float = 0.0) -> Any:
        times = {"request_out_ns": None, "response_in_ns": None, "server_tcp_start_ns": START + 1}
        times |= {"server_tcp_done_ns": START + 1} if step == "server_tls_done_ns" else {}
        return failed(
            "client ended the connection before this proxy had connected to the server",
            "client",
            waited=after + begun,
            ended_by="client",
            times={**times, step: START + int(begun * 10**9) + 1},
            ends=(EndFact("client", "fin", START + int(after * 10**9)),),
        )

    found = first(left(3))
    assert (found.id, found.fault_of, found.severity) == ("WS-HS-036", fault_of, "error")
    assert found.title == f"The client gave up after 3 s, {words}"
    assert len(found.causes) == 2
    assert (first(left(0.3)).fault_of, first(left(0.3)).severity) == ("client", "warning")
    # Held at a breakpoint until after its client had left: the server was not asked while anybody waited.
    assert diagnose_connection(left(3, begun=5)) == []


def test_who_waits_when_the_proxy_stops_has_not_given_up():
    stopped = "wsinspect stopped before the server answered"
    assert diagnose_connection(failed(stopped, "stop", waited=0.5, ended_by="proxy")) == []
    found = first(failed(stopped, "stop", waited=12.0, ended_by="proxy"))
    assert (found.id, found.fault_of) == ("WS-HS-036", "server")
    assert found.title == "No answer in 12 s, until this proxy was stopped"
    assert (found.causes, found.severity) == ((), "error")
    assert "nobody had given up" in found.meaning
    assert first(failed(stopped, "stop", waited=4.0, ended_by="proxy")).severity == "warning"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Sec-WebSocket-Accept", "WS-HS-024"),
        ("Upgrade", "WS-HS-025"),
        ("Sec-WebSocket-Protocol", "WS-HS-027"),
    ],
)
def test_a_field_that_a_101_has_twice_is_said_with_its_own_fix(name, rule):
    head = switching(Sec_WebSocket_Protocol="chat")
    line = next(one for one in head.split(b"\r\n") if one.startswith(name.encode()))
    facts = ended(
        raw_request_out=request(Sec_WebSocket_Protocol="chat"), raw_response_in=head[:-2] + line + b"\r\n\r\n"
    )
    found = next(one for one in diagnose_connection(facts) if one.id == rule)
    assert found.title == f"The 101 has {name} twice"
    assert "must not appear more than once" in found.js
    assert "once" in found.fixes[-1].text
    assert sum(name in one for one in found.evidence) >= 2


@pytest.mark.parametrize("number", [1, 2], ids=["chunk", "body"])
def test_a_body_after_a_101_is_not_judged_as_frames_nor_its_end_as_a_cut(number):
    found = [(one.id, one.severity) for one in diagnose_connection(CASES["WS-HS-047"][0][number])]
    assert [one for one in found if one[1] != "note"] == [("WS-HS-047", "error")]


def test_a_length_in_a_101_before_good_frames_hides_no_broken_one():
    bad = frame(3, S2C, 0.3, violation="reserved-bit")
    facts = ended(*HELLO, bad, violations=((bad, 1),), raw_response_in=switching(Content_Length="5"))
    found = [(one.id, one.severity) for one in diagnose_connection(facts)]
    assert {"WS-HS-047", "WS-FR-003"} <= {one[0] for one in found}


# -- what else an answer shows


def test_envoys_own_403_is_ranked_by_its_words():
    plain = first(refused("403 Forbidden", Server="envoy"))
    denied = first(refused("403 Forbidden", b"RBAC: access denied", Server="envoy"))
    assert plain.title == denied.title == "403: Envoy itself refuses this request"
    assert "upgrade_configs" in plain.causes[0].cause
    assert "RBAC" in denied.causes[0].cause


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {"Content_Type": "text/plain; charset=utf-8"}),  # uvicorn behind Envoy
        (b"Forbidden\n", {}),
        (b"", {"X_Frame_Options": "DENY"}),
    ],
)
def test_a_403_that_envoy_passed_on_is_the_servers(body, fields):
    found = first(refused("403 Forbidden", body, Server="envoy", Date="now", **fields))
    assert (found.id, found.fault_of) == ("WS-HS-010", "server")
    assert "itself" not in found.title


@pytest.mark.parametrize("server", ["nginx", "envoy", "Caddy", "Apache"])
def test_a_503_is_the_hops_where_its_words_are_and_else_the_servers(server):
    own = first(refused("503 Service Unavailable", Server=server, Date="now"))
    assert (own.id, own.fault_of) == ("WS-HS-021", "hop")
    passed = first(refused("503 Service Unavailable", b'{"error":"down for maintenance"}', Server=server))
    assert (passed.id, passed.fault_of, passed.confidence) == ("WS-HS-021", "server", "medium")
    assert "maintenance" in passed.causes[0].cause


def test_a_repeated_header_is_evidence_of_a_bad_request():
    doubled = request().replace(b"Host: example.org", b"Host: example.org\r\nHost: example.org")
    assert "host is there 2 times" in first(refused("400 Bad Request", head=doubled)).evidence
    assert not any("times" in line for line in first(refused("400 Bad Request")).evidence)


@pytest.mark.parametrize("location", [None, "http://[broken/"])
def test_a_redirect_without_a_readable_place_is_a_redirect(location):
    fields = {} if location is None else {"Location": location}
    found = first(refused("302 Found", **fields))
    assert found.title.startswith("302") or "redirect" in found.title.lower()
    assert any((location or "no Location") in line for line in found.evidence)


# -- an empty 404, which a same-origin check may be


def causes_of(**fields):
    (found,) = [
        one for one in diagnose_connection(refused("404 Not Found", **fields)) if one.id == "WS-HS-011"
    ]
    return [one.cause.split()[0] for one in found.causes], found


@pytest.mark.parametrize("body", [b"", b"Page not found"])
def test_a_mute_404_to_another_origin_is_a_refused_origin_first(body):
    causes, found = causes_of(body=body, head=request(Host="app:3000"))
    assert causes[0] == "Action"
    assert any(line.startswith("Host: app:3000") for line in found.evidence)


@pytest.mark.parametrize(
    "fields",
    [
        {
            "head": request(
                Host="app:3000", Sec_WebSocket_Protocol="actioncable-v1-json, actioncable-unsupported"
            )
        },
        {"head": request(Host="app:3000"), "X_Runtime": "0.01"},
        {"head": request(Host="app:3000"), "Via": "1.1 Caddy"},
    ],
    ids=["its client", "Rails", "a hop"],
)
def test_what_rails_and_a_hop_say_leaves_action_cable_first(fields):
    assert causes_of(**fields)[0][0] == "Action"


def test_a_mute_404_to_the_page_s_own_origin_names_the_check_after_the_path():
    causes, _ = causes_of(head=request())
    assert causes[:2] == ["the", "Action"]


@pytest.mark.parametrize(
    "fields",
    [
        {"body": b"no such route", "head": request(Host="app:3000")},
        {"head": request(Host="app:3000", without=("Origin",))},
        {"head": request(Host="app:3000"), "Server": "Kestrel"},
        {"head": request(Host="app:3000"), "Server": "Microsoft-IIS/10.0", "X_Powered_By": "ASP.NET"},
        {"head": request(Host="app:3000"), "path": "/_blazor?id=0123456789_-abcdefghij"},
        {"head": request(Host="app:3000", Sec_WebSocket_Protocol="graphql-transport-ws")},
    ],
    ids=["it says why", "no Origin", "Kestrel", "IIS", "SignalR", "GraphQL"],
)
def test_a_404_that_no_same_origin_check_gave_does_not_name_one(fields):
    assert "Action" not in causes_of(**fields)[0]


@pytest.mark.parametrize(
    ("code", "frames", "severity"), [(1010, 0, "error"), (1002, 3, "error"), (1000, 3, "warning")]
)
def test_a_client_that_closes_for_a_bad_101_did_not_put_up_with_it(code, frames, severity):
    """A CLOSE each way is no talk, and the CLOSE itself says less than what it is about."""
    said = [frame(n, C2S if n % 2 else S2C, 0.1) for n in range(1, 1 + frames)]
    facts = ended(
        *said or [frame(1, S2C, 0.1)],
        code=code,
        raw_response_in=switching(Sec_WebSocket_Extensions="permessage-deflate"),
    )
    if not frames:
        facts = replace(facts, frames=(1, 1))
    found = diagnose_connection(facts)
    assert [(one.id, one.severity) for one in found if one.id in ("WS-HS-028", "WS-CL-010", "WS-CL-002")] == [
        ("WS-HS-028", severity)
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [(521, "nothing listens"), (525, "speaks no TLS on its port 443"), (526, "does not trust")],
)
def test_what_cloudflare_met_at_the_origin_is_the_first_cause(status, words):
    found = first(refused(f"{status} <none>", b"error code: 5xx", Server="cloudflare"))
    assert (found.id, found.fault_of, found.hop) == ("WS-HS-020", "hop", "Cloudflare")
    assert found.title.startswith(f"{status}: ")
    assert words in found.causes[0].cause


def test_a_421_without_marks_is_no_sure_blame_of_a_hop():
    [found] = [
        one for one in diagnose_connection(refused("421 Misdirected Request")) if one.severity == "error"
    ]
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-016", "hop", "medium")


@pytest.mark.parametrize(
    ("body", "fields", "cause"),
    [
        (b"Not Found", {"Server": "uvicorn"}, "the server's WebSocket library is missing (uvicorn)"),
        (
            b"<pre>Cannot GET /chat</pre>",
            {"X_Powered_By": "Express"},
            "no WebSocket server is attached to the HTTP server, or a proxy in it carries none (ws: true)",
        ),
        (b"no such room", {"Server": "gunicorn"}, "the path differs from the server's route"),
    ],
)
def test_the_first_cause_of_a_404_is_what_its_server_answers_so_for(body, fields, cause):
    found = first(refused("404 Not Found", body, **fields))
    assert (found.id, found.causes[0].cause) == ("WS-HS-011", cause)


def test_apache_s_500_for_tls_to_the_application_is_a_gateway_s():
    found = first(refused("500 Proxy Error", APACHE_500, Server="Apache/2.4.71 (Debian)"))
    assert (found.id, found.fault_of) == ("WS-HS-020", "hop")
    assert "does not trust the application's certificate" in found.causes[0].cause
    own = first(refused("500 Internal Server Error", b"Error in the TLS module", Server="Apache/2.4.71"))
    assert own.id == "WS-HS-019"


def test_a_bare_403_to_engineio_may_be_about_the_session_the_protocol_or_the_handler():
    """python-engineio under ASGI refuses a WebSocket for any reason with a 403 without words."""

    def causes(path, body=b""):
        found = first(refused("403 Forbidden", body, path=path))
        assert (found.id, found.fault_of) == ("WS-HS-010", "server")
        return [one.cause for one in found.causes]

    moved = causes("/socket.io/?EIO=4&transport=websocket&sid=abc")
    assert "session id (sid) is not known" in moved[0]
    old = causes("/socket.io/?EIO=3&transport=websocket")
    assert "does not speak the protocol of this client (EIO=3)" in old[0]
    fresh = causes("/socket.io/?EIO=4&transport=websocket")
    assert "Origin" in fresh[0]
    for asked in (
        fresh,
        causes("/ws?sid=abc"),
        causes("/socket.io/?EIO=4&transport=websocket&sid=a", b"banned"),
    ):
        assert not any("session id" in one for one in asked)


@pytest.mark.parametrize(
    ("body", "is_hops"),
    [
        (b"Cross origin websockets not allowed", True),  # Tornado
        (
            b'request Origin "http://example.org" is not authorized for Host "app:3000"',
            True,
        ),  # coder/websocket
        # an application with a list of its own, and a login page
        (b"Cross-origin requests are only allowed from https://app.example.com", False),
        (b'<html><meta http-equiv="Cross-Origin-Opener-Policy" content="same-origin"><h1>Log in</h1>', False),
        (b"you are not authorized for host administration", False),
    ],
)
def test_a_hop_changes_host_only_by_the_words_of_a_server_that_compares_it(body, is_hops):
    found = first(refused("403 Forbidden", body))
    assert (found.id, found.fault_of) == ("WS-HS-010", "hop" if is_hops else "server")
    assert is_hops or len(found.causes) > 1


@pytest.mark.parametrize(
    ("words", "topic", "confidence"),
    [
        ("net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS", "local-network", "high"),
        ("net::ERR_BLOCKED_BY_PRIVATE_NETWORK_ACCESS_CHECKS", "local-network", "high"),
        ("net::ERR_BLOCKED_BY_CLIENT", "browser-refuses", "high"),
        ("net::ERR_BLOCKED_BY_ADMINISTRATOR", "browser-refuses", "high"),
        ("net::ERR_BLOCKED_BY_RESPONSE", "reported", "low"),
        ("NS_ERROR_WEBSOCKET_CONNECTION_REFUSED", "reported", "low"),
        ("net::ERR_INVALID_HTTP_RESPONSE", "not-http", "medium"),
        ("Incorrect 'Sec-WebSocket-Accept' header value", "accept", "medium"),
    ],
)
def test_what_a_browser_says_has_the_fix_of_that_and_words_nobody_knows_a_neutral_one(
    words, topic, confidence
):
    found = first(failed(words, "response", unrecorded=frozenset((Lack.END,))))
    assert (found.id, found.confidence) == ("WS-HS-066", confidence)
    assert found.fixes[-1].text == FIXES[topic]["general"]
