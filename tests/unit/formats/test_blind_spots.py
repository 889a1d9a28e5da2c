"""No finding relies on what a format does not record: every rule that reasons from it, by every format.

The same traffic is diagnosed as it was captured, and as each other file has it. A file that has less never
says more, and nothing of what it cannot know. A format is a line of `FORMATS`, a failure one of `TRAFFIC`.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.chats import Chat, store
from tests.support.every_case import every_case
from tests.support.journals import text
from tests.unit.findings.triggers import CASES
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose
from wsinspect.diagnosis.hops import Hop, diagnose_hop
from wsinspect.filters.language import parse
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.registry import diagnose_connection
from wsinspect.formats.choice import EVERYTHING, choose
from wsinspect.formats.flows_writer import write_flows
from wsinspect.formats.har_writer import write_har
from wsinspect.formats.importing import import_file
from wsinspect.formats.jsonl_writer import write_jsonl
from wsinspect.vocabulary import Lack

SECOND = 10**9
SECRETS = ("cookie", "authorization")


def request(*more, path="/room", key="dGhlIHNhbXBsZSBub25jZQ=="):
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: chat.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


# -- traffic; each writes one failure, or none, into a script


def hello(script, number=1, *more, path="/room"):
    script.accept(number, request(*more, path=path), path)
    script.tick()
    script.client(number, b"hello")
    script.tick()
    script.server(number, b"hello")


def closed(script, number=1, code=1000, side=0, reason=b""):
    for one in (side, 1 - side):
        script.tick()
        script.data(
            number,
            one,
            text(code.to_bytes(2) + (reason if one == side else b""), opcode=8, masked=not one),
            0,
        )
    script.end(number, "server")


def healthy(script):
    hello(script)
    for _ in range(3):
        script.now += 10 * SECOND
        script.server(1, b"p", opcode=9)
        script.client(1, b"p", opcode=10)
    closed(script)


def idle(script):
    hello(script)
    script.now += 60 * SECOND
    script.end(1, "server")


def idle_but_for_pings(script):
    """Cut soon after a PING: only who sees those knows that it was not silent."""
    hello(script)
    for _ in range(6):
        script.now += 9_900_000_000
        script.server(1, b"p", opcode=9)
        script.tick(1)
        script.client(1, b"p", opcode=10)
    script.now += SECOND // 2
    script.end(1, "server")


def reset(script):
    hello(script)
    script.now += 7 * SECOND
    script.end(1, "server", "rst")


def dead_at_once(script):
    script.accept(1, request(), "/room")
    script.tick()
    script.end(1, "server")


def left(script):
    hello(script)
    script.now += 60 * SECOND
    script.end(1, "client")


def no_pong(script):
    hello(script)
    script.server(1, b"p", opcode=9)
    script.now += 20 * SECOND
    closed(script, code=1011, side=1, reason=b"keepalive ping timeout")


def close_unanswered(script):
    hello(script)
    script.client(1, (1000).to_bytes(2), opcode=8)
    script.now += 5 * SECOND
    script.end(1, "client")


def pings_never_answered(script):
    hello(script)
    for _ in range(3):
        script.now += 3 * SECOND
        script.server(1, b"p", opcode=9)
        script.client(1, b"hi")
    closed(script)


def same_silence(script):
    for number in (1, 2, 3):
        hello(script, number)
        script.now += 33_400_000_000
        script.end(number, "server")


def ended_together(script):
    for number in (1, 2, 3, 4):
        hello(script, number)
        script.now += number * 3 * SECOND
    for number in (1, 2, 3, 4):
        script.client(number, b"still here")
    for number in (1, 2, 3, 4):
        script.end(number, "server")


def stomp(script):
    script.accept(1, request(), "/room")
    script.client(1, b"CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0")
    script.server(1, b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0")
    script.now += 47_300_000_000
    script.end(1, "server")


def stomp_with_pings(script):
    script.accept(1, request(), "/room")
    script.client(1, b"CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0")
    script.server(1, b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0")
    for _ in range(5):
        script.now += 9 * SECOND
        script.server(1, b"p", opcode=9)
        script.client(1, b"p", opcode=10)
    script.end(1, "server")


def early(script):
    script.accept(1, request(), "/room")
    script.server(1, b"welcome")
    script.now += 20 * SECOND
    script.end(1, "client")


def refuse(script, number, status, *fields, words=b"", more=(), path="/room"):
    script.begin(number, request(*more, path=path), path)
    script.tick()
    head = "\r\n".join([f"HTTP/1.1 {status} No", *fields, f"Content-Length: {len(words)}", "", ""])
    script.answer(number, head.encode())
    if words:
        script.body(number, words)
    script.event(number, "refused", status=status)
    script.event(number, "closed")


def rejected(script):
    refuse(script, 1, 401, more=("Cookie: sid=1", "Authorization: Bearer x"))


def bare_401(script):
    refuse(script, 1, 401)


def mute_404(script):
    refuse(script, 1, 404, more=("Origin: https://other.example",))


def worded_404(script):
    refuse(script, 1, 404, words=b'{"error":"no such room"}', more=("Origin: https://other.example",))


def worded_403(script):
    refuse(script, 1, 403, "Server: envoy", words=b'{"error":"no"}')


def limit(script):
    hello(script)
    script.now += SECOND
    refuse(script, 2, 503)
    closed(script)


def after_another(script):
    """A 503 after the other connection was over."""
    hello(script)
    closed(script)
    script.now += 5 * SECOND
    refuse(script, 2, 503)


def storm(script):
    for number in range(1, 9):
        refuse(script, number, 503)
        script.now += SECOND // 20


def slow_retries(script):
    for number in range(1, 9):
        refuse(script, number, 503)
        script.now += (10 + 5 * number) * SECOND


def unfinished(script):
    hello(script)
    script.server(1, b"part", fin=False)
    closed(script)


def unmasked(script):
    hello(script)
    script.data(1, 0, text(b"bare", masked=False))
    closed(script, code=1002, side=1)


TRAFFIC = {
    healthy: set(),
    idle: {"WS-DROP-002"},
    idle_but_for_pings: {"WS-DROP-003"},
    reset: {"WS-DROP-005"},
    dead_at_once: {"WS-DROP-001"},
    left: {"WS-DROP-007"},
    no_pong: {"WS-KA-001"},
    close_unanswered: {"WS-CL-031"},
    pings_never_answered: {"WS-KA-006"},
    same_silence: {"WS-DROP-002"},
    ended_together: {"WS-DROP-004"},
    stomp: {"WS-APP-050", "WS-DROP-006"},
    stomp_with_pings: {"WS-DROP-003"},
    early: {"WS-APP-080", "WS-DROP-007"},
    rejected: {"WS-HS-009"},
    bare_401: {"WS-HS-009"},
    mute_404: {"WS-HS-011"},
    worded_404: {"WS-HS-011"},
    worded_403: {"WS-HS-010"},
    limit: {"WS-HS-048"},
    after_another: {"WS-HS-021"},
    storm: {"WS-HS-021", "WS-RC-001"},
    slow_retries: {"WS-HS-021"},
    unfinished: {"WS-MS-003"},
    unmasked: {"WS-FR-001"},
}


# -- files; each makes one of a capture


def _har(capture, change=lambda entry: entry, choice=EVERYTHING):
    out = io.BytesIO()
    write_har(capture, out, choice=choice, include_secrets=True)
    har = json.loads(out.getvalue())
    har["log"]["entries"] = [change(entry) for entry in har["log"]["entries"]]
    return json.dumps(har).encode()


def _foreign(entry):
    """As somebody else writes it."""
    del entry["_wsinspect"]
    return entry


def _without_secrets(entry):
    fields = entry["request"]["headers"]
    entry["request"]["headers"] = [one for one in fields if one["name"].lower() not in SECRETS]
    return _foreign(entry)


def _without(*names):
    def change(entry):
        for name in names:
            entry.pop(name, None)
        return _foreign(entry)

    return change


def _without_body(entry):
    entry["response"]["content"] = {"size": -1, "mimeType": ""}
    return _foreign(entry)


def _without_headers(entry):
    """As a tool writes it that leaves out what may be private."""
    entry["request"]["headers"] = entry["response"]["headers"] = []
    return _foreign(entry)


def _texts(capture):
    return choose(capture, parse("op:text"))


def as_flows(capture):
    out = io.BytesIO()
    write_flows(capture, out, include_secrets=True)
    return out.getvalue()


def as_jsonl(capture, choice=EVERYTHING):
    out = io.BytesIO()
    write_jsonl(capture, out, choice=choice, include_secrets=True)
    return out.getvalue()


FORMATS: dict[str, Callable[[Capture], bytes]] = {
    "browser": lambda capture: _har(capture, _foreign),
    "sanitized": lambda capture: _har(capture, _without_secrets),
    "handshakes": lambda capture: _har(capture, _without("_webSocketMessages")),
    "without times": lambda capture: _har(capture, _without("startedDateTime", "time")),
    "without bodies": lambda capture: _har(capture, _without_body),
    "without headers": lambda capture: _har(capture, _without_headers),
    "our HAR, texts only": lambda capture: _har(capture, choice=_texts(capture)),
    "JSONL, texts only": lambda capture: as_jsonl(capture, _texts(capture)),
    "flows": as_flows,
}
#: A filtered JSONL still has ends, and the codes of CLOSE frames.
HAS_ENDS = "JSONL, texts only"
#: What a file may say that the capture says better: its own words about the end, a close code, a status; and
#: of an end without its silence, what it was.
ITS_OWN = {"WS-CL-032", "WS-CL-011", "WS-CL-002", "WS-HS-021"}
PLAIN_ENDS = {"WS-DROP-006", "WS-DROP-007"}
#: Rules that reason from what the files lack.
NEVER = ("WS-DROP-002", "WS-DROP-003", "WS-KA", "WS-APP-050", "WS-APP-080", "WS-CL-031")
NO_END = ("WS-DROP", "WS-FR-001")
#: Words that nobody can say who saw no PING; and who saw no end.
UNKNOWN = re.compile(r"\bsilent for|\d s of silence|no pong|nothing [cs]>[cs]|nothing ever came", re.I)
UNSEEN_END = re.compile(r"FIN came|\bRST\b came|wire: server", re.I)


def diagnosed(path):
    with Capture.open(path) as capture:
        return diagnose_hop(Hop(capture.query), diagnose(capture.query)).findings


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Makes the capture of some traffic, once: its path and findings."""
    folder, known = tmp_path_factory.mktemp("recorded"), {}

    def record(traffic):
        if traffic not in known:
            script = Chat()
            traffic(script)
            path = store(folder / f"{traffic.__name__}.db", script)
            known[traffic] = path, diagnosed(path)
        return known[traffic]

    return record


@pytest.fixture
def both(tmp_path, recorded):
    """The findings of a capture, and of the file that a function makes of it."""

    def compare(traffic, make, name="b"):
        path, ours = recorded(traffic)
        with Capture.open(path) as capture:
            content = make(capture)
        (tmp_path / "file").write_bytes(content)
        import_file(tmp_path / "file", tmp_path / f"{name}.db")
        return ours, diagnosed(tmp_path / f"{name}.db")

    return compare


@pytest.mark.slow
@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda one: one.__name__)
def test_a_whole_copy_says_what_the_capture_says(both, traffic):
    ours, theirs = both(traffic, as_jsonl)
    assert {one.id for one in ours} == TRAFFIC[traffic]
    assert [(one.id, one.fault_of, one.severity, one.title) for one in theirs] == [
        (one.id, one.fault_of, one.severity, one.title) for one in ours
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda one: one.__name__)
def test_a_file_that_has_less_never_says_more(both, traffic, name):
    ours, theirs = both(traffic, FORMATS[name])
    said = {one.id for one in theirs}
    has_ends = name == HAS_ENDS
    assert said <= {one.id for one in ours} | ITS_OWN | (PLAIN_ENDS if has_ends else set())
    assert not [one for one in said if one.startswith(NEVER if has_ends else (*NEVER, *NO_END))]
    for one in theirs:
        words = [one.title, one.meaning, *one.evidence, *(cause.cause for cause in one.causes)]
        assert not [line for line in words if UNKNOWN.search(line)], one
        assert has_ends or not [line for line in words if UNSEEN_END.search(line)], one
        assert one.severity != "error" or "error" in {each.severity for each in ours}


@pytest.mark.parametrize("name", [name for name in FORMATS if "only" not in name])
def test_refusals_are_told_from_what_the_file_has_of_them(both, name):
    """A refusal is in every file; who is asked for credentials, or for words, depends on what it has."""
    _, (found,) = both(bare_401, FORMATS[name])
    leaves_out = name != "flows"
    assert (found.confidence == "low") is leaves_out
    assert ("carries no credentials" in found.title) is not leaves_out
    assert any("sent: no Authorization header" in line for line in found.evidence) is not leaves_out


def test_credentials_that_an_export_left_out_are_not_said_to_have_been_missing(both):
    _, (found,) = both(rejected, FORMATS["sanitized"])
    assert found.title == "401: the server does not accept the credentials, or there were none"
    assert [cause.cause[:36] for cause in found.causes] == [
        "the server wants credentials, and no",
        "the server rejects the credentials: ",
    ]


def spoken_to(script):
    """Pings and CLOSE frames, and messages, none of which a browser's file has whole."""
    hello(script, 1, "Cookie: sid=1", "Authorization: Bearer x")
    for _ in range(3):
        script.now += SECOND
        script.server(1, b"p", opcode=9)
        script.client(1, b"p", opcode=10)
        script.client(1, b"more")
    closed(script, code=1011, side=1, reason=b"it broke")


#: A filter that chooses texts leaves no attempt that was refused.
BEFORE_A_HOP = [
    (name, traffic)
    for name in ("sanitized", "handshakes", "flows", "our HAR, texts only")
    for traffic in (rejected, spoken_to, healthy, idle)
    if traffic is not rejected or "only" not in name
]


@pytest.mark.parametrize(("name", "traffic"), BEFORE_A_HOP, ids=lambda one: getattr(one, "__name__", one))
def test_a_hop_is_not_blamed_for_what_the_file_before_it_lacks(tmp_path, recorded, both, traffic, name):
    """A browser's or mitmproxy's file before a hop, our capture behind it: it changed nothing."""
    path, ours = recorded(traffic)
    _, alone = both(traffic, FORMATS[name])
    with Capture.open(tmp_path / "b.db") as edge, Capture.open(path) as origin:
        sandwich = diagnose_hop(Hop(edge.query, origin.query), alone, ours)
        (pair,) = sandwich.pairs
        assert pair.origin is not None
    assert [one for one in sandwich.findings if one.id.split("-")[2].startswith("1")] == []
    assert [one for one in sandwich.findings if one.fault_of == "hop"] == []


@pytest.mark.parametrize("error", [{}, {"_error": "net::ERR_CONNECTION_REFUSED"}])
def test_an_attempt_without_an_answer_in_the_file_blames_nobody_unless_an_error_is_there(both, error):
    """A browser writes status 0 of an attempt that was cancelled, blocked, or is still under way."""

    def unanswered(entry):
        entry["response"].update({"status": 0, "statusText": "", "headers": [], **error})
        return _foreign(entry)

    _, [found] = both(rejected, lambda capture: _har(capture, unanswered))
    if error:
        assert (found.id, found.severity) == ("WS-HS-032", "error")
    else:
        assert (found.id, found.severity, found.confidence) == ("WS-HS-035", "warning", "low")
        assert found.fault_of == "network"
        assert "server closed" not in found.title


def test_header_fields_that_a_file_leaves_out_are_not_said_to_have_been_missing(both):
    for traffic, ids in ((rejected, ["WS-HS-009"]), (healthy, [])):
        _, found = both(traffic, lambda capture: _har(capture, _without_headers), name=traffic.__name__)
        assert [one.id for one in found] == ids


def test_a_body_that_is_not_in_the_file_was_not_therefore_empty(both):
    for traffic in (mute_404, worded_404):
        ours, (found,) = both(traffic, FORMATS["without bodies"], traffic.__name__)
        assert "differs" in found.causes[0].cause, traffic
        assert ("Action Cable" in ours[0].causes[0].cause) is (traffic is mute_404)
    ours, (found,) = both(worded_403, FORMATS["without bodies"])
    assert (ours[0].fault_of, found.fault_of) == ("server", "server")


def test_what_was_lacking_is_lacking_after_another_export(tmp_path, both):
    """A browser's HAR, imported, written as our own HAR and JSONL, and read again."""
    ours, theirs = both(idle, FORMATS["browser"])
    assert ours
    assert theirs == []
    again: tuple[Callable[[Capture], bytes], ...] = (_har, as_jsonl)
    for number, make in enumerate(again):
        with Capture.open(tmp_path / "b.db") as capture:
            (tmp_path / f"again-{number}").write_bytes(make(capture))
        import_file(tmp_path / f"again-{number}", tmp_path / f"again-{number}.db")
        assert diagnosed(tmp_path / f"again-{number}.db") == []


# -- every rule, by what formats lack

LACKS = {
    "browser": {Lack.PINGS, Lack.END, Lack.CREDENTIALS},
    "handshakes": {Lack.PINGS, Lack.END, Lack.MESSAGES},
    "flows": {Lack.PINGS, Lack.TRANSPORT},
}


@pytest.mark.parametrize("name", LACKS)
def test_no_rule_reasons_from_what_a_format_lacks(name):
    """The facts that trigger each rule, without what the format has no place for."""
    with every_case(200) as case:
        for rule, (triggers, _) in CASES.items():
            for number, facts in enumerate(triggers):
                if isinstance(facts, ConnectionFacts):
                    with case(rule, number):
                        lacks_it(rule, facts, LACKS[name])


def lacks_it(rule, facts, lacks):
    found = diagnose_connection(replace(facts, unrecorded=frozenset(lacks), ends=(), pings=()))
    assert not [one.id for one in found if one.id.startswith(("WS-DROP", "WS-KA"))]
    for one in found:
        words = [one.title, *one.evidence]
        if rule != "WS-APP-006":  # Engine.IO's pings are messages
            assert not [line for line in words if UNKNOWN.search(line)], one
