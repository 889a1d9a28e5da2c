"""Whatever order the events of two or three taps are recorded and looked at in, what is printed while traffic
passes, what is stored, and what `diagnose` finds afterwards are the same."""

import base64
import contextlib
import json
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.journals import START_NS, new_capture, text
from tests.support.sandwich_lab import times_said, told
from wsinspect.capture import schema
from wsinspect.capture.schema import query_on
from wsinspect.diagnosis import live
from wsinspect.diagnosis.facts import diagnose
from wsinspect.diagnosis.live import LiveFindings
from wsinspect.handshake.negotiation import accept_key
from wsinspect.journal.format import DATA, EVENT, HEAD, Record
from wsinspect.recorder.indexer import Indexer

TAPS = ("edge", "middle", "origin")
MS = 1_000_000
CLOSE = text(b"\x03\xe8", opcode=8)
ANSWER = text(b"\x03\xe8", opcode=8, masked=False)
BROKEN = text(b"\xff", masked=False)
SENT, MADE_UP_SENT = text(b"good").hex(), text(b"evil").hex()
ANSWERED, MADE_UP = (text(data, masked=False).hex() for data in (b"yes", b"not"))
#: By how a connection ends, what each tap sees, from the client on; the last one is repeated for more taps.
ENDS = {
    "by the client": [["c:" + CLOSE.hex(), "s:" + ANSWER.hex(), "end client fin", "end server fin"]],
    "cut by the client": [["end client fin", "end server fin"]],
    "cut by the server": [["end server fin", "end client fin"]],
    "reset by the server": [["end server rst"]],
    "cut by the first hop": [["end server fin", "end client fin"], ["end client fin", "end server fin"]],
    "its CLOSE is lost in the first hop": [
        ["c:" + CLOSE.hex(), "end client fin", "end server fin"],
        ["end client fin", "end server fin"],
    ],
    "broken by the server": [["s:" + BROKEN.hex(), "end client rst", "end server rst"]],
    "a message is lost": [["c:" + text(b"lost").hex(), "end server fin"], ["end server fin"]],
    "another message comes out": [
        [f"c:{SENT}", "end server fin"],
        [f"c:{MADE_UP_SENT}", "end server fin"],
    ],
    "other messages come out both ways": [
        [f"c:{SENT}", f"s:{MADE_UP}", f"s:{ANSWER.hex()}", "end server fin", "end client fin"],
        [f"c:{MADE_UP_SENT}", f"s:{ANSWERED}", f"s:{ANSWER.hex()}", "end server fin", "end client fin"],
    ],
}
#: By what comes instead of a 101: the status, and whether the first hop answered itself.
REFUSALS = {"426": (426, False), "403": (403, False), "502 of the hop": (502, True), "stripped": (400, False)}


def steps(kind, key, taps):
    """What happens of one connection at each tap, in order: (tap, step)."""
    sent = REFUSALS.get(kind)
    if sent is not None:
        status, is_hops = sent
        seen = taps[:1] if is_hops else taps
        return {tap: ["attempt", f"refused {status}", "closed"] for tap in seen}
    ends = ENDS[kind]
    return {
        tap: ["attempt", "open", "c:" + text(b"hello").hex(), *ends[min(n, len(ends) - 1)], "closed"]
        for n, tap in enumerate(taps)
    }


class Play:
    """Records of connections as an engine writes them, indexed and looked at on the way."""

    def __init__(self, path):
        new_capture(path)
        self.database = schema.open_for_writing(path)
        self.indexer = Indexer(self.database)
        self.now = START_NS
        self.live = LiveFindings(self.database, clock=lambda: self.now / 1e9)
        self.printed = []
        self.numbers = {}

    def add(self, kind, part, connection, payload):
        self.indexer.add(Record(kind, part, connection, self.now, 0, payload))

    def event(self, connection, name, **detail):
        self.add(EVENT, 0, connection, json.dumps({"event": name, **detail}).encode())

    def look(self, *, is_idle=False, is_over=False):
        self.indexer.commit()
        self.judge(is_idle=is_idle, is_over=is_over)

    def judge(self, *, is_idle=False, is_over=False):
        self.printed += self.live.look(
            self.indexer.looks,
            at_ns=self.now,
            is_changed=self.indexer.is_engine_changed,
            is_idle=is_idle,
            is_over=is_over,
        )
        self.indexer.looks, self.indexer.is_engine_changed = set(), False

    def do(self, chain, kind, tap, step):
        if step.startswith("attempt"):
            self.numbers[chain, tap] = len(self.numbers) + 1
        number = self.numbers[chain, tap]
        word, *more = step.split()
        if word == "attempt":
            client, path = more or ("127.0.0.1:5", "/chat")
            facts = {"tap": tap, "client": client, "scheme": "ws", "host": "a.test", "port": 80}
            self.event(number, "attempt", path=path, http_version="HTTP/1.1", **facts)
            is_whole = kind != "stripped" or tap == "edge"
            upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n" if is_whole else "Connection: close\r\n"
            self.key = base64.b64encode(chain.to_bytes(16, "big"))
            head = f"GET /chat HTTP/1.1\r\nHost: a.test\r\nSec-WebSocket-Version: 13\r\n{upgrade}"
            for part in (0, 1):
                self.add(HEAD, part, number, f"{head}Sec-WebSocket-Key: {self.key.decode()}\r\n\r\n".encode())
        elif word == "refused":
            self.add(HEAD, 2, number, f"HTTP/1.1 {more[0]} No\r\nServer: nginx\r\n\r\n".encode())
            self.event(number, "refused", status=int(more[0]))
        elif word == "open":
            accept = accept_key(base64.b64encode(chain.to_bytes(16, "big"))).decode()
            head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            for part in (2, 3):
                self.add(HEAD, part, number, f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
            self.event(number, "open")
        elif word == "end":
            self.event(number, "end", side=more[0], how=more[1])
        elif word == "closed":
            self.event(number, "closed")
        else:
            side, _, data = word.partition(":")
            self.add(DATA, side == "s", number, bytes.fromhex(data))


def may_follow(one, step, taps, begun, waiting):
    """Whether this may be next: a hop asks behind it once it was asked, and answers once it has asked."""
    chain, kind, tap = one
    place = taps.index(tap)
    if step == "attempt":
        return place == 0 or (chain, taps[place - 1]) in begun
    has_next = place + 1 < len(taps) and (chain, kind, taps[place + 1]) in waiting
    return not has_next or (chain, taps[place + 1]) in begun


@st.composite
def stories(draw):
    """(taps, [(pause in ms, chain, kind, tap, step, how it is looked at then)]), as in the journal."""
    taps = TAPS[:: draw(st.sampled_from((1, 2)))]
    waiting: dict[tuple[int, str, str], list[str]] = {}
    for chain in range(1, draw(st.integers(1, 3)) + 1):
        kind = draw(st.sampled_from((*ENDS, *REFUSALS)))
        waiting |= {(chain, kind, tap): list(found) for tap, found in steps(kind, chain, taps).items()}
    begun: set[tuple[int, str]] = set()
    story = []
    while any(waiting.values()):
        ready = [
            one for one, left in waiting.items() if left and may_follow(one, left[0], taps, begun, waiting)
        ]
        chain, kind, tap = draw(st.sampled_from(ready))
        step = waiting[chain, kind, tap].pop(0)
        if step == "attempt":
            begun.add((chain, tap))
        pause = draw(st.sampled_from((0, 1, 60, 700, 1500)))
        story.append((pause, chain, kind, tap, step, draw(st.sampled_from(("", "", "look", "idle")))))
    return taps, story


@contextlib.contextmanager
def unwritable(play, path):
    """Meanwhile findings cannot be written, as on a full disk; what was indexed is committed."""
    play.indexer.commit()
    play.database.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def played(taps, story):
    """(printed, stored, found afterwards): how often each finding is.

    The steps `lag` and `stop` are of no connection: the engine got no CPU, or it stops with what is open.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        play = Play(path)
        play.event(0, "engine", versions={}, argv=[], taps=[{"tap": tap} for tap in taps])
        for pause, chain, kind, tap, step, looks in story:
            play.now += pause * MS + 1000
            if step == "stop":
                break
            if step == "lag":
                play.event(0, "lag", for_ns=pause * MS)
            else:
                play.do(chain, kind, tap, step)
            if looks == "unwritable":
                with unwritable(play, path):
                    play.judge(is_idle=True)
            elif looks:
                play.look(is_idle=looks == "idle")
        play.event(0, "engine_stop")
        play.indexer.end_open()
        play.indexer.mark_clean()
        play.look(is_over=True)
        play.database.close()
        return times_said(play.printed, path)


SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(stories())
def test_any_order_gives_the_same_findings_live_stored_and_afterwards(story):
    printed, found, after = played(*story)
    assert printed == found == after


@SETTINGS
@given(stories())
def test_judged_as_it_comes_is_the_same_too(story):
    """Without the last look at everything, which a long run does not get."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(live, "_JUDGED_AGAIN", -1)
        printed, found, after = played(*story)
    assert printed == found == after


@st.composite
def disturbed(draw):
    """A story of a busy machine with a full disk: lag, looks that fail, and a stop before all is over."""
    taps, story = draw(stories())
    made = []
    for pause, chain, kind, tap, step, looks in story:
        made.append((pause, chain, kind, tap, step, draw(st.sampled_from((looks, looks, "unwritable")))))
        if draw(st.integers(0, 7)) == 0:
            made.append((draw(st.sampled_from((200, 900, 4000))), 0, "", "", "lag", "look"))
    if draw(st.booleans()):
        made.insert(draw(st.integers(1, len(made))), (draw(st.sampled_from((0, 300))), 0, "", "", "stop", ""))
    return taps, made


@SETTINGS
@given(disturbed())
def test_lag_a_full_disk_and_an_early_stop_change_nothing_of_that(story):
    printed, found, after = played(*story)
    assert printed == found == after


@SETTINGS
@given(disturbed())
def test_nor_where_all_is_judged_as_it_comes(story):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(live, "_JUDGED_AGAIN", -1)
        printed, found, after = played(*story)
    assert printed == found == after


def test_the_second_time_a_timer_ends_a_connection_is_said_of_the_first_one_too(monkeypatch):
    monkeypatch.setattr(live, "_JUDGED_AGAIN", -1)
    taps = ("edge",)
    story = []
    for chain in (1, 2):
        *begin, end, other_end, closed = steps("cut by the client", chain, taps)["edge"]
        story += [(0, chain, "cut by the client", "edge", step, "") for step in begin]
        story.append((1500, chain, "cut by the client", "edge", end, ""))
        story += [(0, chain, "cut by the client", "edge", step, "look") for step in (other_end, closed)]
    printed, found, after = played(taps, story)
    assert printed == found == after == {("WS-DROP-002", 1): 1, ("WS-DROP-002", 2): 1}


#: How attempts that are tried again and again end: what the rules over a whole capture tell apart.
AGAIN = {
    "401": ["refused 401", "closed"],
    "503": ["refused 503", "closed"],
    "cut": ["open", "s:" + text(b"hello", masked=False).hex(), "end server fin", "end client fin", "closed"],
    "left": ["open", "end client fin", "end server fin", "closed"],
    "open": ["open"],
}


@st.composite
def series(draw):
    """Attempts of several clients to several places, one after the other: (pause in ms, steps)."""
    places = [(client, path) for client in ("10.0.0.1", "10.0.0.2") for path in ("/a", "/a?token=x", "/b")]
    found: list[tuple[int, list[str], bool]] = []
    for _ in range(draw(st.integers(4, 24))):
        client, path = draw(st.sampled_from(places))
        end = draw(st.sampled_from(("401", "401", "503", "503", "cut", "cut", "left", "open")))
        pause = draw(st.sampled_from((1, 100, 300, 2500)))
        attempt = f"attempt {client}:{4000 + len(found)} {path}"
        found.append((pause, [attempt, *AGAIN[end]], draw(st.booleans())))
    return found


@examples(40)
@given(series())
def test_at_each_look_what_is_stored_is_what_diagnose_finds(attempts):
    """A series that grows, a second one, one that is over: all rules, those over a whole capture as well."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        play = Play(path)
        play.event(0, "engine", versions={}, argv=[], taps=[{"tap": "edge"}])
        for chain, (pause, steps, looks) in enumerate(attempts, 1):
            play.now += pause * MS
            for step in steps:
                play.now += MS
                play.do(chain, "", "edge", step)
            if looks:
                play.now += 2 * 1000 * MS  # the whole capture is looked at every two seconds
                play.look(is_idle=True)
                query = query_on(play.database)
                found = sorted(((one.id, one.connection) for one in diagnose(query)), key=str)
                rows = query("SELECT rule, connection_id FROM finding", ())
                assert sorted(rows, key=str) == found
                assert sorted(told(play.printed), key=str) == sorted(set(found), key=str)
        play.database.close()
