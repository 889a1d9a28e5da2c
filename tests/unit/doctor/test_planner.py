"""What is asked next, given the answers so far: no network, each plan a table of answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wsinspect.doctor.planner import MAX_QUESTIONS, plan, redirect_target
from wsinspect.doctor.questions import Question
from wsinspect.doctor.target import Extras, Target
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import accept_key

TARGET = Target("ws", "example.org", 80, "/chat")
NOTHING = Extras()
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def answered(
    question: Question,
    status: int | None,
    body: bytes = b"",
    *,
    fields: dict[str, str] | None = None,
    where: str = "response",
    tls: dict[str, Any] | None = None,
) -> ConnectionFacts:
    fields = dict(fields or {})
    if status == 101:
        fields = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept_key(KEY.encode()).decode(),
            **fields,
        }
    lines = [f"HTTP/1.1 {status} Words", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return ConnectionFacts(
        id=1,
        status=status,
        state="failed" if status is None else "closed" if status == 101 else "refused",
        failed_where=where if status is None else None,
        raw_request_in=question.request,
        raw_request_out=question.request,
        raw_response_in=None if status is None else "\r\n".join(lines).encode(),
        body=body,
        server_tls=tls,
    )


def asked(
    answer: Callable[[Question], ConnectionFacts], target: Target = TARGET, extras: Extras = NOTHING
) -> list[str]:
    """The kinds of the questions."""
    questions, kinds = plan(target, extras, lambda: KEY), []
    try:
        question = next(questions)
        while True:
            kinds.append(question.kind)
            question = questions.send(answer(question))
    except StopIteration:
        return kinds


def test_the_first_question_is_a_browsers_handshake() -> None:
    question = next(plan(TARGET, Extras(), lambda: KEY))
    head = RawHead.parse(question.request)
    assert head.start_line == b"GET /chat HTTP/1.1"
    assert [field.name for field in head.fields] == [
        b"Host",
        b"Connection",
        b"Upgrade",
        b"Origin",
        b"Sec-WebSocket-Version",
        b"User-Agent",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Extensions",
    ]
    assert head.get("origin") == b"http://example.org"
    assert (head.get("user-agent") or b"").startswith(b"wsinspect-doctor/")
    assert question.is_long


def test_what_the_user_gives_is_sent() -> None:
    extras = Extras(
        "https://app.example", ("chat", "v2"), (("X-Token", "t"), ("Host", "other")), ("a=b", "c=d")
    )
    head = RawHead.parse(next(plan(TARGET, extras, lambda: KEY)).request)
    names = ("origin", "sec-websocket-protocol", "x-token", "host", "cookie")
    assert [head.get_all(name) for name in names] == [
        [b"https://app.example"],
        [b"chat, v2"],
        [b"t"],
        [b"other"],
        [b"a=b; c=d"],
    ]
    assert RawHead.parse(next(plan(TARGET, Extras(origin=""), lambda: KEY)).request).get("origin") is None


def test_a_server_that_accepts_is_asked_whether_it_looks() -> None:
    assert asked(lambda q: answered(q, 101 if q.is_handshake else 426)) == [
        "handshake",
        "origin:foreign",
        "without:origin",
        "connection",
        "without:sec-websocket-extensions",
        "get",
    ]
    extras = Extras(cookies=("a=b",), headers=(("X-Token", "t"),))
    assert "without:cookie,x-token" in asked(lambda q: answered(q, 101), extras=extras)


@pytest.mark.parametrize("status", [101, 401])
def test_what_was_added_to_the_query_is_left_out_once(status) -> None:
    """Of a server that accepts, does it look at it; of one that refuses, is that why."""
    target, extras = TARGET._replace(target="/chat?room=1&token=t"), Extras(query="token=t")
    seen: list[str] = []

    def answer(question: Question) -> ConnectionFacts:
        if question.kind == "query:none":
            seen.append(question.target.target)
        return answered(question, status)

    asked(answer, target, extras)
    assert seen == ["/chat?room=1"]
    seen.clear()
    asked(answer, target)
    assert seen == []


def test_each_subprotocol_is_offered_alone_and_none() -> None:
    def choosing(question: Question) -> ConnectionFacts:
        offered = (question.value("Sec-WebSocket-Protocol") or "").partition(",")[0]
        return answered(question, 101, fields={"Sec-WebSocket-Protocol": offered} if offered else {})

    kinds = asked(choosing, extras=Extras(subprotocols=("a", "b")))
    assert kinds[4:-1] == [
        "without:sec-websocket-extensions",
        "without:sec-websocket-protocol",
        "subprotocol:a",
        "subprotocol:b",
    ]
    one = asked(choosing, extras=Extras(subprotocols=("a",)))
    assert not any(kind.startswith("subprotocol:") for kind in one)


def test_where_the_list_of_subprotocols_is_refused_each_is_tried() -> None:
    def only_b(question: Question) -> ConnectionFacts:
        offered = question.value("Sec-WebSocket-Protocol")
        if offered is None or offered == "b":
            return answered(question, 101, fields={"Sec-WebSocket-Protocol": "b"} if offered else {})
        return answered(question, 400)

    kinds = asked(only_b, extras=Extras(subprotocols=("a", "b")))
    assert kinds[-3:] == ["without:sec-websocket-protocol", "subprotocol:a", "subprotocol:b"]
    assert len(kinds) <= 20


@pytest.mark.parametrize("name", ["Origin", "User-Agent", "Sec-WebSocket-Extensions", "Cookie", "X-Token"])
def test_the_header_that_decides_is_found(name) -> None:
    extras = Extras(cookies=("a=b",), headers=(("X-Token", "t"),))
    kinds = asked(lambda q: answered(q, 403 if q.value(name) is not None else 101), extras=extras)
    assert kinds[:3] == ["handshake", "get", "bare"]
    assert kinds[-1] == f"without:{name.lower()}"
    assert len(kinds) <= 9


def test_the_subprotocols_that_an_answer_names_are_tried() -> None:
    def answer(question: Question) -> ConnectionFacts:
        if question.value("Sec-WebSocket-Protocol") == "v2.chat":
            return answered(question, 101, fields={"Sec-WebSocket-Protocol": "v2.chat"})
        return answered(
            question, 400, b"unsupported subprotocol, supported subprotocols: ['v1.chat', 'v2.chat']"
        )

    assert asked(answer)[-2:] == ["subprotocol:v1.chat", "subprotocol:v2.chat"]
    kinds = asked(lambda q: answered(q, 400), TARGET._replace(target="/graphql"))
    assert "subprotocol:graphql-transport-ws" in kinds


def test_a_redirect_is_followed_once_and_on_the_same_host_alone() -> None:
    def to(location: str) -> Callable[[Question], ConnectionFacts]:
        return lambda question: answered(question, 302, fields={"Location": location})

    assert [one for one in asked(to("/other")) if one == "redirect"] == ["redirect"]
    assert "redirect" not in asked(to("https://elsewhere.example/"))
    assert "redirect" not in asked(to("http://example.org/"), TARGET._replace(scheme="wss", port=443))


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/b", "ws://example.org/b?q=1"),
        ("b", "ws://example.org/a/b?q=1"),
        ("https://example.org/b", "wss://example.org/b?q=1"),
        ("ws://example.org:81/b?c", "ws://example.org:81/b?c"),
        ("//example.org/b", "ws://example.org/b?q=1"),
        ("https://elsewhere.example/b", None),
        ("ftp://example.org/", None),
        ("http://[::1/", None),
        ("/a\nb\x00", None),
        ("/ä", None),
    ],
)
def test_where_a_redirect_leads(location, expected) -> None:
    target = redirect_target(TARGET._replace(target="/a/x?q=1"), location)
    assert (None if target is None else str(target)) == expected


def test_no_secret_goes_over_a_plain_connection() -> None:
    extras = Extras(cookies=("session=secret",), headers=(("Authorization", "Bearer secret"),))
    target = Target("wss", "example.org", 443, "/chat?token=secret")
    questions = plan(target, extras, lambda: KEY)
    next(questions)
    failed = answered(next(plan(target, extras, lambda: KEY)), None, where="tls-server")
    question = questions.send(failed)
    assert (question.kind, str(question.target)) == ("scheme", "ws://example.org:443/chat")
    assert b"secret" not in question.request


def test_after_a_wrong_certificate_nothing_is_asked() -> None:
    target = TARGET._replace(scheme="wss", port=443)
    tls = {"certificate": {"subject": "CN=x"}}
    assert asked(lambda q: answered(q, None, where="tls-server", tls=tls), target) == ["handshake"]


def test_a_server_that_takes_all_its_time_is_asked_twice() -> None:
    assert asked(lambda q: answered(q, None, where="client")) == ["handshake", "get"]


@pytest.mark.parametrize("status", [None, 200, 301, 400, 401, 403, 404, 421, 426, 429, 500, 502, 503])
@pytest.mark.parametrize("path", ["/", "/chat", "/socket.io/?EIO=4&transport=websocket", "/graphql/"])
def test_a_plan_ends_and_asks_nothing_twice(status, path) -> None:
    extras = Extras(origin="https://app.example", cookies=("a=b",), headers=(("X-A", "1"), ("X-B", "2")))
    requests: set[bytes] = set()

    def answer(question: Question) -> ConnectionFacts:
        requests.add(question.request.partition(b" ")[0])
        assert question.request.endswith(b"\r\n\r\n")
        assert (question.value("User-Agent") or "wsinspect-doctor/").startswith("wsinspect-doctor/")
        return answered(question, status)

    kinds = asked(answer, TARGET._replace(target=path), extras)
    assert len(kinds) == len(set(kinds)) <= MAX_QUESTIONS
    assert requests == {b"GET"}  # nothing is changed on the server
    assert ("polling" in kinds) == ("socket.io" in path)


def test_answers_that_contradict_each_other_end_too() -> None:
    turn = iter(range(1000))
    kinds = asked(
        lambda q: answered(q, 101 if next(turn) % 3 == 2 else 403),
        extras=Extras(headers=tuple((f"X-{n}", "1") for n in range(30))),
    )
    assert len(kinds) <= MAX_QUESTIONS


@pytest.mark.parametrize(("status", "is_asked"), [(500, True), (404, True), (502, False), (429, False)])
def test_a_path_that_no_route_takes_is_asked_with_a_slash(status: int, is_asked: bool) -> None:
    """Django Channels answers 500 there."""

    def answer(question: Question) -> ConnectionFacts:
        return answered(question, 101 if question.kind == "slash" else status)

    assert ("slash" in asked(answer)) == is_asked
