"""The sandwich while traffic passes: what is held, for how long, what takes whose place, and its bounds."""

import base64
import json

import pytest

from tests.support.journals import Script, index, need, text, write_journal
from tests.support.sandwich_lab import times_said
from wsinspect.capture import schema
from wsinspect.diagnosis import live_pairs
from wsinspect.diagnosis.hops import MAX_TRACES
from wsinspect.diagnosis.live import LiveFindings
from wsinspect.diagnosis.live_pairs import LivePairs, worth_comparing

TAPS = {"taps": [{"tap": "edge"}, {"tap": "origin"}]}


def request(number, *, upgrade=True):
    key = base64.b64encode(number.to_bytes(16, "big"))
    fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\n" if upgrade else b"Connection: close\r\n"
    return (
        b"GET /chat HTTP/1.1\r\nHost: example.test\r\nSec-WebSocket-Version: 13\r\n"
        + fields
        + b"Sec-WebSocket-Key: "
        + key
        + b"\r\n\r\n"
    )


class Hop:
    """Attempts through a hop that takes Upgrade away, as journal records of one capture."""

    def __init__(self, folder, **meta):
        self.path = folder / "a.db"
        self.script = Script(meta=meta or TAPS)
        self.database = None

    def attempt(self, number, tap, key, *, upgrade=True):
        facts = {"tap": tap, "client": "127.0.0.1:5", "scheme": "ws", "host": "example.test", "port": 80}
        self.script.event(number, "attempt", path="/chat", http_version="HTTP/1.1", **facts)
        for part in (0, 1):
            self.script.head(number, part, request(key, upgrade=upgrade))

    def refuse(self, number, server=b"nginx"):
        self.script.head(number, 2, b"HTTP/1.1 426 Upgrade Required\r\nServer: " + server + b"\r\n\r\n")
        self.script.event(number, "refused", status=426)
        self.script.event(number, "closed")

    def index(self):
        """Everything so far into the capture, which stays open for the rules."""
        if self.database is not None:
            self.database.close()
            self.path.unlink()
        write_journal(self.path, list(self.script.steps))
        index(self.path, is_over=False)
        self.database = schema.open_for_writing(self.path)
        return self.database

    def rows(self):
        return need(self.database).execute("SELECT rule, connection_id FROM finding ORDER BY id").fetchall()

    def close(self):
        if self.database is not None:
            self.database.close()


@pytest.fixture
def hop(tmp_path):
    made = Hop(tmp_path)
    yield made
    made.close()


def look(live, *numbers, is_over=False):
    return live.look(numbers, at_ns=5, is_changed=False, is_idle=True, is_over=is_over)


def test_both_taps_are_judged_together(hop):
    hop.attempt(1, "edge", 1)
    hop.attempt(2, "origin", 1, upgrade=False)
    hop.refuse(2)
    hop.refuse(1)
    live = LiveFindings(hop.index())
    (note,) = look(live, 2, 1)
    assert (note["id"], note["connection"]) == ("WS-HS-101", 1)
    assert "replaces" not in note
    assert hop.rows() == [("WS-HS-101", 1)]
    assert not live.is_waiting


def test_the_tap_behind_waits_for_the_one_before(hop):
    hop.attempt(1, "edge", 1)
    hop.attempt(2, "origin", 1, upgrade=False)
    hop.refuse(2)
    live = LiveFindings(hop.index())
    assert look(live, 2) == []
    assert live.is_waiting
    assert hop.rows() == []


def test_it_waits_no_longer_than_the_hold(hop, monkeypatch):
    hop.attempt(1, "edge", 1)
    hop.attempt(2, "origin", 1, upgrade=False)
    hop.refuse(2)
    live = LiveFindings(hop.index())
    monkeypatch.setattr(live_pairs, "HOLD_SECONDS", 0.0)
    assert [note["connection"] for note in look(live, 2)] == [2]
    assert not live.is_waiting


def test_at_the_end_nothing_is_held(hop):
    hop.attempt(1, "edge", 1)
    hop.attempt(2, "origin", 1, upgrade=False)
    hop.refuse(2)
    assert [note["connection"] for note in look(LiveFindings(hop.index()), 2, is_over=True)] == [2]


def test_a_finding_that_came_too_early_is_replaced(hop, monkeypatch):
    hop.attempt(1, "edge", 1)
    hop.attempt(2, "origin", 1, upgrade=False)
    hop.refuse(2)
    hop.refuse(1)
    database = hop.index()
    # As if the edge had been pending: the origin's tap alone.
    database.execute("UPDATE connection SET state = 'connecting', closed_ns = NULL WHERE id = 1")
    live = LiveFindings(database)
    with monkeypatch.context() as patched:
        patched.setattr(live_pairs, "HOLD_SECONDS", 0.0)
        early = look(live, 2)
    assert [note["connection"] for note in early] == [2]
    database.execute("UPDATE connection SET state = 'refused', closed_ns = 9 WHERE id = 1")
    (note,) = look(live, 1)
    assert (note["id"], note["connection"]) == ("WS-HS-101", 1)
    assert note["replaces"] == [{"connection": 2, "id": early[0]["id"]}]
    assert hop.rows() == [("WS-HS-101", 1)]


def test_a_hop_that_does_not_ask_is_reported_at_once(hop):
    hop.attempt(1, "edge", 1)
    hop.refuse(1)
    found = look(LiveFindings(hop.index()), 1)
    assert "WS-HS-103" in [note["id"] for note in found]


def test_one_tap_waits_for_nobody(tmp_path):
    hop = Hop(tmp_path, taps=[{"tap": "edge"}])
    hop.attempt(1, "edge", 1)
    hop.refuse(1)
    assert look(LiveFindings(hop.index()), 1) != []
    hop.close()


def test_taps_of_any_name_are_known_by_a_key_that_both_have_seen(tmp_path):
    hop = Hop(tmp_path, taps=[{"tap": "front"}, {"tap": "back"}])
    hop.attempt(1, "front", 1)
    hop.attempt(2, "back", 1, upgrade=False)
    hop.refuse(2, b"app")
    hop.refuse(1)
    (note,) = look(LiveFindings(hop.index()), 2, 1)
    assert (note["id"], note["hop"]) == ("WS-HS-101", "nginx, the hop between front and back")
    hop.close()


def test_a_storm_leaves_little_behind(hop, monkeypatch):
    monkeypatch.setattr(live_pairs, "KEPT", 10)
    for number in range(1, 101):
        hop.attempt(2 * number - 1, "edge", number)
        hop.attempt(2 * number, "origin", number, upgrade=False)
        hop.refuse(2 * number)
        hop.refuse(2 * number - 1)
    database = hop.index()
    pairs = LivePairs(lambda sql, parameters: database.execute(sql, parameters).fetchall())
    pairs._newest = 0
    pairs._run = database.execute("SELECT max(run) FROM meta").fetchone()[0]
    pairs._names, pairs._order = {"edge", "origin"}, [("edge", "origin")]
    due = pairs.due(range(1, 201), is_over=False)
    assert len(due.chains) == 100
    assert (due.alone, due.held, due.finished) == (set(), set(), [])
    pairs.forget()
    assert len(pairs._attempts) == len(pairs._by_key) * 2 == 10
    assert len(pairs.partner) <= 10


def test_a_healthy_pair_is_not_read_again(hop, monkeypatch):
    accept = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    for number, tap in ((1, "edge"), (2, "origin")):
        hop.attempt(number, tap, 1)
        hop.script.head(number, 2, accept)
        hop.script.event(number, "open")
        hop.script.data(number, 0, text(b"hello"))
        hop.script.data(number, 1, text(b"hello", masked=False))
        hop.script.data(number, 0, text(b"\x03\xe8", opcode=8))
        hop.script.data(number, 1, text(b"\x03\xe8", opcode=8, masked=False))
        hop.script.end(number)
    database = hop.index()
    database.execute("UPDATE handshake SET problems = '[]'")
    live = LiveFindings(database)
    judged = []

    def judge(chain, limit=0):
        judged.append(chain)
        return []

    monkeypatch.setattr(live, "_judge_chain", judge)
    look(live, 1, 2)
    assert judged == []
    assert not live.is_waiting
    # One frame less behind the hop is worth a look.
    database.execute("UPDATE connection SET c2s_frames = c2s_frames - 1 WHERE id = 2")
    look(live, 1, 2)
    assert [[one.edge.id for one in chain] for chain in judged] == [[1]]
    assert json.loads(database.execute("SELECT value FROM meta WHERE key = 'taps'").fetchone()[0])


def test_one_frame_has_no_pauses(hop):
    for number, tap in ((1, "edge"), (2, "origin")):
        hop.attempt(number, tap, 1)
        hop.script.event(number, "open")
        hop.script.data(number, 0, text(b"alone"))
        hop.script.end(number)
    database = hop.index()

    def query(sql, values):
        return database.execute(sql, values).fetchall()

    ((joined,),) = LivePairs(query).due((1, 2), is_over=True).chains
    assert list(worth_comparing(query, [joined])) == []


@pytest.mark.parametrize(
    ("behind", "is_read"),
    [
        ([(0, b"good", 1), (1, b"yes", 1)], False),
        ([(0, b"evil", 1), (1, b"yes", 1)], True),
        ([(0, b"good", 1), (1, b"not", 1)], True),
        ([(0, b"good", 2), (1, b"yes", 1)], True),
        # The order between the directions is each tap's own.
        ([(1, b"yes", 1), (0, b"good", 1)], False),
    ],
    ids=["the same", "another of the same length", "to the client", "binary for text", "other order"],
)
@pytest.mark.parametrize("times", [1, 400], ids=["short", "long"])
@pytest.mark.parametrize("is_judged_at_the_end", [True, False])
def test_content_that_a_hop_swaps_for_as_much_is_said_live_too(
    hop, monkeypatch, behind, is_read, times, is_judged_at_the_end
):
    """Counts, bytes and pauses are the same at both taps; the content is not."""
    if not is_judged_at_the_end:
        monkeypatch.setattr("wsinspect.diagnosis.live._JUDGED_AGAIN", -1)
    went_in = [(0, b"good", 1), (1, b"yes", 1)]
    for number, tap, frames in ((1, "edge", went_in), (2, "origin", behind)):
        hop.attempt(number, tap, 1)
        hop.script.event(number, "open")
        for side, content, opcode in frames:
            hop.script.data(number, side, text(content * times, opcode=opcode, masked=side == 0))
        hop.script.data(number, 0, text(b"\x03\xe8", opcode=8))
        hop.script.data(number, 1, text(b"\x03\xe8", opcode=8, masked=False))
        hop.script.end(number)
    database = hop.index()
    database.execute("UPDATE handshake SET problems = '[]'")  # the script's requests are not whole
    printed = look(LiveFindings(database), 1, 2, is_over=True)
    said = times_said(printed, hop.path)
    assert said == [{("WS-MS-102", 1): 1}] * 3 if is_read else said == [{}] * 3


@pytest.mark.parametrize("is_late", [True, False], ids=["behind the CLOSE", "before it"])
def test_what_a_server_sends_behind_its_close_is_no_message_that_the_hop_lost(hop, is_late):
    """Both sides' CLOSE frames passed through the hop, and the server's last message did not."""
    close, late = text(b"\x03\xe8", opcode=8, masked=False), text(b"late", masked=False)
    for number, tap, sent in (
        (1, "edge", [close]),
        (2, "origin", [close, late] if is_late else [late, close]),
    ):
        hop.attempt(number, tap, 1)
        hop.script.event(number, "open")
        hop.script.data(number, 1, text(b"good", masked=False))
        for one in sent:
            hop.script.data(number, 1, one)
        hop.script.data(number, 0, text(b"\x03\xe8", opcode=8))
        hop.script.end(number)
    printed = look(LiveFindings(hop.index()), 1, 2, is_over=True)
    rules = [{rule for rule, _ in one} for one in times_said(printed, hop.path)]
    assert [("WS-MS-102" in one, "WS-FR-008" in one) for one in rules] == [(not is_late, is_late)] * 3


def test_what_the_hop_passed_on_as_it_was_is_read_once(hop):
    for number, tap in ((1, "edge"), (2, "origin")):
        hop.attempt(number, tap, 1)
        hop.script.event(number, "open")
        hop.script.data(number, 0, text(b"hello"))
        hop.script.end(number)
    database = hop.index()
    database.execute("UPDATE handshake SET problems = '[]'")
    database.execute("UPDATE connection SET how = 'close', ended_by = 'client', server_close_code = 1000")
    asked: list[str] = []
    database.set_trace_callback(asked.append)

    def readings():
        found = [one for one in asked if one.endswith(f"LIMIT {MAX_TRACES}")]
        asked.clear()
        return len(found)

    live = LiveFindings(database)
    look(live, 1, 2)
    assert readings() == 2
    look(live, is_over=True)
    assert readings() == 0
    # What something happens to is read again.
    look(live, 1, is_over=True)
    assert readings() == 2


def test_a_mistake_in_a_comparison_does_not_end_the_recorder(hop, monkeypatch, capsys):
    def mistaken(*_):
        raise TypeError("ours")

    monkeypatch.setattr("wsinspect.diagnosis.live.worth_comparing", mistaken)
    for number, tap in ((1, "edge"), (2, "origin")):
        hop.attempt(number, tap, 1)
        hop.script.event(number, "open")
        hop.script.end(number)
    live = LiveFindings(hop.index())
    assert look(live, 1, 2, is_over=True) == []
    assert "TypeError: ours" in capsys.readouterr().err
    assert not live.is_waiting


def test_attempts_at_once_with_one_key_are_joined_each_with_its_own(hop):
    """As with curl: the hop answers the second one by itself while the first one waits."""
    hop.attempt(1, "edge", 1)
    hop.attempt(2, "origin", 1, upgrade=False)
    hop.attempt(3, "edge", 1)
    hop.refuse(3)
    hop.refuse(2)
    hop.refuse(1)
    live = LiveFindings(hop.index())
    look(live, 1, 2, 3)
    look(live, is_over=True)
    said = set(hop.rows())
    assert ("WS-HS-101", 1) in said
    assert ("WS-HS-103", 3) in said
    assert {number for _, number in said} <= {1, 3}
