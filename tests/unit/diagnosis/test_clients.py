"""Facts of clients out of a capture's tables: requests, ends, faults, phases, runs, long-polling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.chats import Chat, store
from tests.support.journals import Foreign, index, write_journal
from tests.support.journals import Step as JournalStep
from wsinspect.capture.reader import Capture
from wsinspect.clients.expectations import Evidence, read_expectations
from wsinspect.clients.facts import Attempt, ClientFacts, Transport
from wsinspect.clients.outages import Cause
from wsinspect.clients.verdicts import evaluate
from wsinspect.diagnosis.checking import check_capture
from wsinspect.diagnosis.clients import judged_clients, read_facts
from wsinspect.faults.scenario import load_object
from wsinspect.handshake.bridging import connect_fields
from wsinspect.handshake.heads import RawHead

MS = 1_000_000


def request(**fields: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"GET /room HTTP/1.1\r\nHost: chat.example\r\n{lines}\r\n".encode()


def tell(script: Chat, number: int, event: str, facts: dict[str, Any]) -> None:
    """An event with a key `kind` of its own."""
    writer = JournalStep("event", (number, Foreign({"event": event, **facts}), script.now))
    script.steps.append(writer)
    script.now += 1000


def facts_of(path: Path, script: Chat) -> ClientFacts:
    with Capture.open(store(path / "c.db", script)) as capture:
        facts = read_facts(capture)
        return ClientFacts(**{**vars(facts), "said": lambda _: (), "pings": lambda _: ()})


def one_of(path: Path, script: Chat) -> Attempt:
    [one] = facts_of(path, script).attempts
    return one


def test_a_request_and_its_refusal(tmp_path):
    script = Chat()
    script.begin(1, request(User_Agent="Firefox", Cookie="sid=1"), "/room?token=t0ken-12345&t=9")
    script.answer(1, b"HTTP/1.1 503 Busy\r\nRetry-After: 4\r\n\r\n")
    script.event(1, "refused", status=503)
    script.event(1, "closed")
    one = one_of(tmp_path, script)
    assert (one.status, one.retry_after_ns, one.path) == (503, 4_000 * MS, "/room")
    assert set(one.parts) == {"cookie sid", "query token"}
    assert one.end_ns is not None


def over_http2(head: bytes) -> bytes:
    """The extended CONNECT for a request of HTTP/1.1, as browsers send it: a field for each cookie."""
    fields = [
        (one.key, part)
        for one in RawHead.parse(head).fields
        for part in (one.value.split(b"; ") if one.key == b"cookie" else [one.value])
    ]
    made = connect_fields(b"https", b"chat.example", b"/room", fields)
    return b"".join(name + b": " + value + b"\r\n" for name, value in made) + b"\r\n"


def came_back(path: Path, *, is_http2: bool) -> list[Any]:
    """A client is refused, tries again, and comes back after each end."""
    script = Chat()

    def begin(one: int) -> None:
        head = request(User_Agent="Firefox", Cookie="theme=dark; sid=1")
        version = "HTTP/2.0" if is_http2 else "HTTP/1.1"
        script.begin(one, over_http2(head) if is_http2 else head, "/room?token=t0ken-12345", version)

    begin(1)
    fields = b"retry-after: 4\r\n\r\n"
    script.answer(1, (b":status: 503\r\n" if is_http2 else b"HTTP/1.1 503 Busy\r\n") + fields)
    script.event(1, "refused", status=503)
    script.event(1, "closed")
    for one in (2, 3, 4):
        script.tick(1500)
        begin(one)
        if is_http2:
            script.answer(one, b":status: 200\r\n\r\n")
        else:
            script.answer(one)
        script.event(one, "open")
        script.client(one, b"hello")
        script.tick(1000)
        script.end(one, "server")
    path.mkdir()
    with Capture.open(store(path / "c.db", script)) as capture:
        return [
            ([(one.id, sorted(one.parts)) for one in client.session.attempts], client.grade.as_json())
            for client in judged_clients(capture)
        ]


def test_a_client_over_http2_is_joined_and_judged_like_any_other(tmp_path):
    [(before, grade)] = came_back(tmp_path / "one", is_http2=False)
    [(attempts, other)] = came_back(tmp_path / "two", is_http2=True)
    assert attempts == before
    assert len(attempts) == 4
    assert set(attempts[0][1]) >= {"cookie sid", "query token"}
    assert other == grade


def test_the_client_knows_of_an_end_by_the_first_sign_of_it(tmp_path):
    script = Chat()
    script.accept(1, request(), "/room")
    script.tick()
    script.client(1, b"\x03\xe8", opcode=8)
    close_ns = script.now - 1000
    script.tick(500)
    script.event(1, "end", side="server", how="fin")
    script.event(1, "closed")
    one = one_of(tmp_path, script)
    assert one.close_ns == one.end_ns == close_ns
    assert one.closed_ns is not None
    assert one.closed_ns - close_ns >= 500 * MS
    assert one.client_code == 1000


def test_who_leaves_before_the_answer_was_never_connected(tmp_path):
    """A request that a fault holds is answered when it is let go, also where its client has left."""
    script = Chat()
    script.begin(1, request(), "/room")
    script.tick(2000)
    script.event(1, "end", side="client", how="fin")
    left_ns = script.now
    script.tick(3000)
    script.answer(1)
    script.event(1, "open")
    script.event(1, "end", side="server", how="fin")
    script.event(1, "closed")
    one = one_of(tmp_path, script)
    assert (one.is_open, one.is_failure, one.answer) == (False, True, "left before the answer")
    assert one.end_ns is not None
    assert one.end_ns <= left_ns


@pytest.mark.parametrize(
    ("others", "count"), [((), 3), ((b"Firefox",), 3), ((b"Chrome",), 0)], ids=["alone", "again", "another"]
)
def test_who_is_cut_off_before_the_request_has_tried(tmp_path, others, count):
    """By the address alone: where it is several clients', nobody has those tries."""
    rule = {"rule": "closed", "kind": "reset_on_accept", "seed": 1, "settings": {"kind": "reset_on_accept"}}
    left = {"tap": "main", "client": "10.0.0.9:99", "ms": 0.3}
    script = Chat()
    script.accept(1, request(User_Agent="Firefox"), "/room")
    for number, agent in enumerate(others, 2):
        script.accept(number, request(User_Agent=agent.decode()), "/room")
    facts = facts_of(tmp_path, script)
    left |= {"tap": facts.attempts[0].tap, "client": f"{facts.attempts[0].address}:99"}
    script.event(0, "client_left", **left, how="proxy")  # no rule was armed then
    tell(script, 0, "rule", {**rule, "armed": True})
    for _ in range(3):
        script.tick(100)
        script.event(0, "client_left", **left, how="proxy")
    script.event(0, "client_left", **left, how="fin")  # its own doing
    tell(script, 0, "rule", {**rule, "armed": False})
    script.event(0, "client_left", **left, how="proxy")
    (tmp_path / "more").mkdir()
    found = [one for one in facts_of(tmp_path / "more", script).attempts if one.id < 0]
    assert len(found) == count
    assert {(one.answer, one.rule, one.user_agent) for one in found} <= {
        ("cut off before its request", "closed", "Firefox")
    }
    assert all(one.is_failure for one in found)


def test_a_blackhole_is_a_stall_until_its_rule_is_disarmed(tmp_path):
    rule = {"rule": "hole", "kind": "blackhole", "seed": 1, "settings": {"kind": "blackhole"}}
    script = Chat()
    script.accept(1, request(), "/room")
    tell(script, 0, "rule", {**rule, "armed": True})
    begun = script.now
    acted = {"rule": "hole", "kind": "blackhole", "direction": "c2s", "detail": {"for_ms": None}}
    tell(script, 1, "fault", acted)
    script.tick(700)
    tell(script, 0, "rule", {**rule, "armed": False})
    facts = facts_of(tmp_path, script)
    [stall] = facts.attempts[0].stalls
    assert (stall.from_ns, stall.rule) == (begun, "hole")
    assert stall.until_ns is not None
    assert 700 * MS <= stall.until_ns - begun < 701 * MS
    [block] = facts.blocks
    assert block.until_ns == stall.until_ns


def test_a_rule_with_conditions_keeps_nobody_out_for_sure(tmp_path):
    script = Chat()
    for name, kind, settings in (
        ("some", "refuse", {"match": "path:/x"}),
        ("slow", "latency", {}),
        ("all", "refuse", {"status": 503}),
    ):
        tell(script, 0, "rule", {"rule": name, "kind": kind, "armed": True, "settings": settings})
    assert [one.rule for one in facts_of(tmp_path, script).blocks] == ["all"]


def test_phases_say_how_late_timers_are(tmp_path):
    script = Chat()
    for number, late in ((0, 5), (1, 80), (2, 9000)):
        script.event(0, "phase", phase=number, of=3, for_ms=100.0)
        script.tick(100 + late)
    script.event(0, "phase", phase=None, of=3)
    facts = facts_of(tmp_path, script)
    assert 80 * MS <= facts.noise_ns < 81 * MS
    assert [number for _, number in facts.phases] == [0, 1, 2]
    assert facts.phases_end_ns is not None


def test_what_the_run_tells_clients_apart_by_is_taken(tmp_path):
    script = Chat(meta={"session_by": "header:X-User"})
    for number, user in enumerate(("ann", "bob", "ann"), 1):
        script.accept(number, request(X_User=user), "/room")
    with Capture.open(store(tmp_path / "c.db", script)) as capture:
        assert [len(one.session.attempts) for one in judged_clients(capture)] == [2, 1]


def test_a_killed_engine_ends_what_was_open(tmp_path):
    script = Chat()
    script.accept(1, request(), "/room")
    script.tick(50)
    path = tmp_path / "c.db"
    write_journal(path, script.steps)  # without the engine's own end
    index(path)
    with Capture.open(path) as capture:
        [client] = judged_clients(capture)
    assert client.session.first.end_ns is not None
    assert not client.measures.outages


def test_polling_belongs_to_the_only_client_of_its_place(tmp_path):
    poll = {"tap": None, "client": "127.0.0.1:9", "host": "chat.example", "path": "/room", "method": "GET"}
    script = Chat()
    script.accept(1, request(User_Agent="ws"), "/room?sid=s-one&EIO=4")
    script.server(1, b"42hi")
    script.event(0, "polling", sid="s-one", status=200, **poll)
    script.tick(1000)
    script.event(1, "end", side="server", how="rst")
    script.event(1, "closed")
    script.tick(500)
    script.event(0, "polling", sid=None, status=502, **poll)
    script.tick(500)
    script.event(0, "polling", sid="s-two", status=200, **poll)
    with Capture.open(store(tmp_path / "c.db", script)) as capture:
        [client] = judged_clients(capture)
    assert [one.answer for one in client.session.attempts] == ["101", "502", "polling"]
    assert client.measures.transport == Transport.POLLING
    assert client.measures.outages[0].outage.cause == Cause.SERVER


def test_expectations_are_judged_with_the_messages_of_the_capture(tmp_path):
    script = Chat()
    script.accept(1, request(), "/room")
    script.client(1, b'{"type":"join"}')
    script.client(1, b'{"type":"chat"}')
    expect = [{"sends": "json:$.type=join", "times": 1}, {"never_sends": "json:$.type=admin"}]
    expectations = read_expectations(load_object({"version": 1, "expect": expect}))
    with Capture.open(store(tmp_path / "c.db", script)) as capture:
        _, results = check_capture(capture, expectations)
        assert [one.held for one in results] == [True, True]
        assert results[0].frames == (1,)
        facts = read_facts(capture)
        assert evaluate(expectations, Evidence(clients=[], facts=facts)) == []


def test_a_server_that_ends_behind_a_blackhole_is_not_seen_by_its_client(tmp_path):
    script = Chat()
    script.accept(1, request(), "/room")
    script.server(1, b"hi")
    tell(script, 1, "fault", {"rule": "hole", "kind": "blackhole", "direction": "c2s", "detail": {}})
    script.tick(500)
    script.event(1, "end", side="server", how="fin")
    script.tick(500)
    own_ns = script.now
    script.event(1, "end", side="client", how="fin")
    script.event(1, "closed")
    one = one_of(tmp_path, script)
    assert one.end_ns == one.close_ns == own_ns


def polled(path: Path, *requests: dict[str, Any], later_ms: int = 1000) -> list[Attempt]:
    """The attempts of requests a tenth of a second apart, with `later_ms` after them."""
    where = {"tap": None, "client": "127.0.0.1:9", "host": "chat.example", "method": "GET", "status": 200}
    script = Chat()
    for one in requests:
        script.tick(100)
        script.event(
            0, "polling", **{"path": "/hub", "sid": "s-one", "request": "", "response": "", **where, **one}
        )
    script.tick(later_ms)
    script.event(0, "engine_stop")
    return list(facts_of(path, script).attempts)


SIGNALR: dict[str, Any] = {"protocol": "signalr"}


@pytest.mark.parametrize(
    ("last", "by", "how", "error"),
    [
        ({"status": 503}, "server", "refused", "answer 503"),
        ({"status": None}, "server", None, "no answer"),
        ({"status": None, "stream": "left"}, "client", None, "it left"),
        ({"status": 202, "method": "DELETE", **SIGNALR}, "client", "close-frame", "it said goodbye"),
        ({"request": "1", "method": "POST"}, "client", "close-frame", "it said goodbye"),
        ({"request": "42[1]\x1e1", "method": "POST"}, "client", "close-frame", "it said goodbye"),
        ({"status": 204, **SIGNALR}, "server", "refused", "answer 204"),
    ],
)
def test_how_long_polling_ends(tmp_path, last, by, how, error):
    [one] = polled(tmp_path, {}, {}, last)
    assert (one.ended_by, one.how, one.error) == (by, how, error)
    assert one.end_ns == one.closed_ns == one.attempt_ns + 200 * MS + 2000  # events are a microsecond apart


@pytest.mark.parametrize("kind", [{}, SIGNALR, {"stream": "begun", **SIGNALR}, {"request": "1", **SIGNALR}])
def test_long_polling_continues_while_nothing_says_that_it_ended(tmp_path, kind):
    [one] = polled(tmp_path, {**kind}, later_ms=90_000)
    assert one.end_ns is None


def test_a_request_that_failed_is_no_end_where_its_client_went_on(tmp_path):
    [one] = polled(tmp_path, {}, {"status": 502}, *[{}] * 12)
    assert one.end_ns is None
    (tmp_path / "another").mkdir()
    [one] = polled(tmp_path / "another", {}, {"status": 502}, {})  # another request was under way
    assert one.end_ns == one.attempt_ns + 100 * MS + 1000


def test_a_stream_outlives_a_post_that_failed(tmp_path):
    [one] = polled(tmp_path, {"stream": "begun", **SIGNALR}, {"status": 503, "method": "POST", **SIGNALR})
    assert (one.end_ns, one.answer) == (None, "Server-Sent Events")


def test_a_rule_that_refused_a_poll_is_named(tmp_path):
    where = {"tap": None, "client": "127.0.0.1:9", "host": "chat.example", "path": "/hub", "method": "GET"}
    rule = {"rule": "outage", "kind": "refuse", "seed": 1, "settings": {"kind": "refuse", "status": 503}}
    script = Chat()
    script.event(0, "polling", sid="s-one", status=200, request="", response="4hello", **where)
    tell(script, 0, "rule", {**rule, "armed": True})
    script.tick(300)
    script.event(0, "polling", sid="s-one", status=503, request="", response="", **where)
    script.tick(300)
    script.event(0, "polling", sid=None, status=503, request="", response="", **where)
    tell(script, 0, "rule", {**rule, "armed": False})
    script.event(0, "polling", sid="s-two", status=200, request="", response="4hello", **where)
    with Capture.open(store(tmp_path / "c.db", script)) as capture:
        [client] = judged_clients(capture)
    [outage] = [one.outage for one in client.measures.outages]
    assert (outage.cause, outage.rule) == (Cause.FAULT, "outage")
    assert [one.answer for one in outage.tries] == ["503", "polling"]
    assert outage.tries[0].rule == "outage"


def test_what_is_said_by_polling_is_compared(tmp_path):
    where = {"tap": None, "client": "127.0.0.1:9", "host": "chat.example", "path": "/hub", "method": "POST"}
    join = {"request": '{"type":1,"target":"Join","invocationId":"%d"}\x1e', **where, **SIGNALR}
    script = Chat()
    for number in (1, 2):
        script.event(
            0,
            "polling",
            sid=f"s-{number}",
            **{**join, "status": 200, "response": "", "method": "GET", "request": ""},
        )
        script.event(
            0,
            "polling",
            sid=f"s-{number}",
            **{**join, "status": 200, "response": "", "request": join["request"] % number},
        )
        answer = {"response": '{"type":3,"result":1}\x1e', "method": "GET", "request": ""}
        script.event(0, "polling", sid=f"s-{number}", **{**join, "status": 200, **answer})
        script.tick(200)
        script.event(
            0, "polling", sid=f"s-{number}", **{**join, "status": 503, "request": "", "response": ""}
        )
    with Capture.open(store(tmp_path / "c.db", script)) as capture:
        [client] = judged_clients(capture)
    first = client.measures.outages[0]
    assert first.resumption is not None
    assert [len(first.resumption.setup), len(first.resumption.repeated)] == [1, 1]
    assert first.outage.works_ns is not None
    assert first.bytes_until_works > 0
    assert not next(one for one in client.grade.reasons if one.key == "resumes").frames
