"""Where hops pass requests on to, and what asking there makes of their 502."""

from __future__ import annotations

import pytest

from tests.support.configurations import met_in, read_in
from wsinspect.doctor.answers import Answer, Reached, Tried
from wsinspect.doctor.behind import Behind, behind_of, is_same_machine, plan_behind
from wsinspect.doctor.configuration.judging import passed_on_to, with_configuration
from wsinspect.doctor.configuration.model import Backend, Place, backend_of
from wsinspect.doctor.judge import Judgement
from wsinspect.doctor.target import Extras, parse_target
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Cause, Finding, Fix
from wsinspect.findings.upstream import CAUSES
from wsinspect.net import Address

URL = "ws://127.0.0.1:8080/chat?token=x"
TARGET = parse_target(URL)[0]
HERE = Address("127.0.0.1", 3000)
AT = Place("a", 1)

NGINX = (
    "http {{\n server {{\n  listen 8080;\n  location / {{\n   proxy_pass {};\n{}  }}\n }}\n{} }}\n"
    "events {{}}\n"
)
GOOD = (
    "proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection upgrade;\n"
)
HAPROXY = "defaults\n mode http\nfrontend in\n bind :8080\n default_backend app\nbackend app\n{}"


def nginx(url: str, more: str = "") -> dict[str, str]:
    return {"nginx.conf": NGINX.format(url, GOOD, more)}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:3000/x", ("127.0.0.1", 3000, False)),
        ("https://app", ("app", 443, True)),
        ("wss://app/", ("app", 443, True)),
        ("ws://[::1]:81", ("::1", 81, False)),
        (":3000", ("localhost", 3000, False)),
        ("app_1:3000", ("app_1", 3000, False)),
        ("http://unix:/run/app.sock", None),
        ("unix//run/app.sock", None),
        ("http://$backend", None),
        ("http://{upstream}:80", None),
        ("fcgi://127.0.0.1:9000", None),
        ("http://app:99999", None),
        ("http://app:0", None),
        ("", None),
    ],
)
def test_where_a_url_leads(url, expected) -> None:
    found = backend_of(url, AT)
    assert (found and found[:3]) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (nginx("http://127.0.0.1:3000"), ("127.0.0.1", 3000, False)),
        (nginx("https://app", " upstream app { server 10.0.0.1; }\n"), ("10.0.0.1", 80, True)),
        (nginx("http://app", " upstream app { server unix:/run/app; }\n"), None),
        ({"haproxy.cfg": HAPROXY.format(" server a 127.0.0.1:3000 check\n")}, ("127.0.0.1", 3000, False)),
        (
            {"haproxy.cfg": HAPROXY.format(" server a 127.0.0.1:3000 ssl verify none\n")},
            ("127.0.0.1", 3000, True),
        ),
        (
            {"haproxy.cfg": HAPROXY.format(" default-server ssl verify none\n server a 127.0.0.1:3000\n")},
            ("127.0.0.1", 3000, True),
        ),
        (
            {"haproxy.cfg": HAPROXY.format(" default-server ssl\n server a 127.0.0.1:3000 no-ssl\n")},
            ("127.0.0.1", 3000, False),
        ),
        ({"haproxy.cfg": HAPROXY.format(" server a /run/app.sock\n")}, None),
        ({"Caddyfile": ":8080 {\n reverse_proxy localhost:3000\n}\n"}, ("localhost", 3000, False)),
        ({"Caddyfile": ":8080 {\n reverse_proxy {\n  to https://app\n }\n}\n"}, ("app", 443, True)),
        (
            {"Caddyfile": ":8080 {\n reverse_proxy app:1 {\n  transport http {\n   tls\n  }\n }\n}\n"},
            ("app", 1, True),
        ),
        ({"httpd.conf": "Listen 8080\nProxyPass / wss://app/ upgrade=websocket\n"}, ("app", 443, True)),
        (
            {
                "t.yml": "http:\n  routers:\n    r: {rule: PathPrefix(`/`), service: s}\n"
                "  services:\n    s:\n      loadBalancer: {servers: [{url: 'http://127.0.0.1:3000'}]}\n"
            },
            ("127.0.0.1", 3000, False),
        ),
    ],
)
def test_where_a_configuration_leads(tmp_path, files, expected) -> None:
    met = met_in(tmp_path, files, URL)
    (one,) = [each for each in met.possible if each.kind == "upstream" and not each.status]
    assert (one.backend and one.backend[:3]) == expected


# -- what is asked, and what it says


def facts(**values) -> ConnectionFacts:
    return ConnectionFacts(id=1, scheme="ws", host="127.0.0.1", port=3000, path="/chat", **values)


def answers(target, *found: ConnectionFacts) -> list[Answer]:
    plan = plan_behind(TARGET, target, Extras(cookies=("a=b",), headers=(("X-Key", "1"),)), lambda: "key")
    questions = [next(plan)]
    for one in found[1:]:
        questions.append(plan.send(found[len(questions) - 1]))
        assert one is not None
    return [Answer(question, one) for question, one in zip(questions, found, strict=True)]


def test_nothing_secret_is_asked_along() -> None:
    plan = plan_behind(TARGET, TARGET._replace(port=3000), Extras(cookies=("a=b",)), lambda: "key")
    question = next(plan)
    assert question.value("Cookie") is None
    assert question.target.target == "/chat"
    assert question.value("Host") == "127.0.0.1:8080"


OPEN = Reached(addresses=(Tried(HERE, None, 1),))
CLOSED = Reached(addresses=(Tried(HERE, "connection refused", 1),))
CERTIFICATE = {"certificate": {"subject": "CN=a"}}


@pytest.mark.parametrize(
    ("tls", "reached", "found", "expected"),
    [
        (
            False,
            CLOSED,
            [{"failed_where": "connect", "error": "cannot connect: connection refused"}],
            "refused",
        ),
        (False, CLOSED, [{"failed_where": "connect", "error": "cannot connect: timed out"}], "dropped"),
        (False, Reached(error="name resolution failed"), [{"failed_where": "connect"}], None),
        (False, OPEN, [{"status": 404}], "answers"),
        (False, OPEN, [{"failed_where": "client", "error": "no answer within 10 s"}], "silent"),
        (
            False,
            OPEN,
            [{"failed_where": "response", "error": "the server closed"}, {"failed_where": "tls-server"}],
            "closes",
        ),
        (
            False,
            OPEN,
            [{"failed_where": "response", "error": "the answer is not HTTP"}, {"failed_where": "tls-server"}],
            "broken",
        ),
        (
            False,
            OPEN,
            [{"failed_where": "response"}, {"failed_where": "tls-server", "server_tls": CERTIFICATE}],
            "tls",
        ),
        (True, OPEN, [{"failed_where": "tls-server", "error": "reset"}, {"status": 426}], "plain"),
        (True, OPEN, [{"failed_where": "tls-server", "server_tls": CERTIFICATE}], "untrusted"),
        (
            True,
            OPEN,
            [{"failed_where": "tls-server", "error": "no shared cipher"}, {"failed_where": "response"}],
            "no-tls",
        ),
    ],
)
def test_what_the_answers_say(tls, reached, found, expected) -> None:
    target = TARGET._replace(port=3000, scheme="wss" if tls else "ws")
    said = behind_of(target, reached, answers(target, *(facts(**one) for one in found)))
    assert (said and said.what) == expected


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ("127.0.0.1:5000", "127.0.0.1:8080", True),
        ("[::1]:5000", "[::1]:8080", True),
        ("10.0.0.2:5000", "10.0.0.1:8080", False),
        (None, "10.0.0.1:8080", False),
    ],
)
def test_whether_the_hop_is_on_this_machine(client, server, expected) -> None:
    assert is_same_machine(facts(client=client, server_address=server)) is expected


# -- the finding


def finding() -> Finding:
    return Finding(
        id="WS-HS-020",
        severity="error",
        fault_of="hop",
        hop=None,
        title="502: a proxy got no valid answer from the application",
        meaning="",
        js="",
        confidence="high",
        evidence=("HTTP/1.1 502 Bad Gateway",),
        fixes=(Fix("general", "Start the application."),),
        causes=tuple(Cause(*CAUSES[name]) for name in ("refused", "answer", "scheme", "tls", "size")),
    )


def judged() -> Judgement:
    return Judgement(
        verdict="failing", headline="", findings=(finding(),), ruled_out=(), next_steps=(), alternatives=()
    )


def explained(tmp_path, files, what, status=None):
    read = read_in(tmp_path, files)
    judgement = judged()
    before, place = with_configuration(judgement, [read], TARGET)
    assert before.findings[0].title == finding().title
    target = passed_on_to(place, TARGET)
    assert target is not None
    behind = Behind(what, target, "what was seen", status)
    after, place = with_configuration(judgement, [read], TARGET, None, behind)
    return after, place


@pytest.mark.parametrize(
    ("files", "what", "title", "diff"),
    [
        (
            nginx("https://127.0.0.1:3000"),
            "plain",
            "nginx speaks TLS with 127.0.0.1:3000",
            "+   proxy_pass http://",
        ),
        (nginx("http://127.0.0.1:3000"), "tls", "nginx speaks plain HTTP with", "+   proxy_pass https://"),
        (
            {"haproxy.cfg": HAPROXY.format(" server a 127.0.0.1:3000 ssl verify none\n")},
            "plain",
            "HAProxy speaks TLS with",
            "+ server a 127.0.0.1:3000 verify none",
        ),
        (
            {"haproxy.cfg": HAPROXY.format(" server a 127.0.0.1:3000\n")},
            "tls",
            "HAProxy speaks plain HTTP",
            None,
        ),
        (
            {"httpd.conf": "Listen 8080\nProxyPass / wss://127.0.0.1:3000/ upgrade=websocket\n"},
            "plain",
            "Apache httpd speaks TLS with",
            "+ProxyPass / ws://127.0.0.1:3000/",
        ),
    ],
)
def test_the_wrong_scheme_is_the_cause_alone(tmp_path, files, what, title, diff) -> None:
    after, place = explained(tmp_path, files, what)
    first = after.findings[0]
    assert title in first.title
    assert first.causes == ()
    assert (first.fault_of, first.confidence) == ("hop", "high")
    assert "Start the application" not in " ".join(one.text for one in first.fixes)
    assert (place.diffs != ()) is (diff is not None)
    if diff is not None:
        assert diff in place.diffs[0].shown


def test_nothing_listens_leaves_the_address_and_a_container(tmp_path) -> None:
    after, _ = explained(tmp_path, nginx("http://127.0.0.1:3000"), "refused")
    first = after.findings[0]
    assert first.title == "502: nothing listens at 127.0.0.1:3000, where nginx passes this request on"
    assert [one.cause.partition(" ")[0] for one in first.causes] == ["location", "the", "nginx"]
    assert "container" in first.causes[-1].cause
    assert first.evidence[1] == "asked from here: what was seen"


def test_a_server_elsewhere_is_in_no_container_of_this_machine(tmp_path) -> None:
    after, _ = explained(tmp_path, nginx("http://10.0.0.1:3000"), "refused")
    assert not any("container" in one.cause for one in after.findings[0].causes)


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        ("closes", None, "closes the connection without an answer"),
        ("broken", None, "does not speak HTTP"),
        ("answers", 502, "gives this answer itself"),
    ],
)
def test_what_the_server_does_itself_is_the_servers(tmp_path, what, status, words) -> None:
    after, place = explained(tmp_path, nginx("http://127.0.0.1:3000"), what, status)
    first = after.findings[0]
    assert words in first.title
    assert words in after.headline
    assert (first.fault_of, first.hop, place) == ("server", None, None)
    assert (first.confidence, len(first.causes)) == (("high", 0) if status else ("medium", 2))
    assert any("nginx.conf:5" in line for line in first.evidence)


@pytest.mark.parametrize("what", ["answers", "accepts"])
def test_a_server_that_answers_is_not_down(tmp_path, what) -> None:
    after, _ = explained(tmp_path, nginx("http://127.0.0.1:3000"), what, 101)
    causes = [one.cause for one in after.findings[0].causes]
    assert after.findings[0].title == finding().title
    assert not {CAUSES[name][0] for name in ("refused", "answer", "scheme")} & set(causes)
    assert {CAUSES["size"][0], CAUSES["tls"][0]} <= set(causes)


def test_without_an_address_nobody_is_asked(tmp_path) -> None:
    read = read_in(tmp_path, nginx("http://unix:/run/app.sock"))
    judgement = judged()
    _, place = with_configuration(judgement, [read], TARGET)
    assert place is not None
    assert passed_on_to(place, TARGET) is None
    assert Backend("a", 1, False, AT).port == 1
