from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.packets import CLIENT, SERVER, START_NS, Tcp, Wire
from wsinspect.formats.packets import tcp as module
from wsinspect.formats.packets.link import ACK, FIN, RST, SYN, Segment
from wsinspect.formats.packets.tcp import Counts, Reassembly

SECOND = 1_000_000_000


class Log:
    """What a reassembly hands on."""

    def __init__(self) -> None:
        self.streams = [bytearray(), bytearray()]
        self.said: list[tuple[object, ...]] = []

    def data(self, side: int, data: bytes, time_ns: int) -> None:
        assert data
        self.streams[side] += data
        self.said.append(("data", side, bytes(data)))

    def gap(self, side: int, size: int, time_ns: int) -> None:
        assert size > 0
        self.said.append(("gap", side, size))

    def end(self, side: int, how: str, time_ns: int) -> None:
        self.said.append((how, side))


def segment(
    seq: int, data: bytes = b"", flags: int = ACK, *, ack: int = 9000, size: int | None = None
) -> Segment:
    return Segment(b"a", b"b", seq & 0xFFFFFFFF, ack, flags, data, len(data) if size is None else size)


def begun(start: int = 100, *, is_midway: bool = False) -> tuple[Reassembly, Log, Counts]:
    log, counts = Log(), Counts()
    made = Reassembly(log, counts, is_midway=is_midway)
    if not is_midway:
        made.feed(0, segment(start - 1, flags=SYN, ack=0), 0)
        made.feed(1, segment(8999, flags=SYN | ACK, ack=start & 0xFFFFFFFF), 0)
    return made, log, counts


def test_order_repeats_and_overlaps() -> None:
    made, log, counts = begun()
    made.feed(0, segment(105, b"fghij"), 1)
    made.feed(0, segment(100, b"abcde"), 2)
    made.feed(0, segment(100, b"abcde"), 3)
    made.feed(0, segment(107, b"hijkl"), 4)
    assert log.streams[0] == b"abcdefghijkl"
    assert (counts.repeated, counts.reordered, counts.gaps) == (2, 1, 0)


def test_the_first_bytes_in_order_count() -> None:
    """An overlap that says something else is an attack on whoever reassembles otherwise."""
    made, log, _ = begun()
    made.feed(0, segment(100, b"abc"), 1)
    made.feed(0, segment(101, b"XYZ"), 2)
    assert log.streams[0] == b"abcZ"


def test_keep_alives_are_no_repeats() -> None:
    made, log, counts = begun()
    made.feed(0, segment(100, b"abc"), 1)
    made.feed(0, segment(102, b"\0"), 2)
    made.feed(0, segment(102), 3)
    assert (bytes(log.streams[0]), counts.repeated) == (b"abc", 0)


def test_numbers_begin_again_after_4_gib() -> None:
    made, log, _ = begun(0xFFFFFFFE)
    made.feed(0, segment(0, b"cd"), 1)
    made.feed(0, segment(0xFFFFFFFE, b"ab"), 2)
    assert log.streams[0] == b"abcd"


def test_what_the_receiver_has_and_the_trace_has_not_is_a_gap() -> None:
    made, log, counts = begun()
    made.feed(0, segment(103, b"def"), 0)
    made.feed(1, segment(9000, ack=106), SECOND // 100)
    assert log.said == []  # it may still come: queues of a network card are read in turns
    made.feed(1, segment(9000, ack=106), SECOND)
    assert log.said == [("gap", 0, 3), ("data", 0, b"def")]
    assert (counts.gaps, counts.lost) == (1, 3)


def test_what_was_not_acknowledged_is_waited_for() -> None:
    """A lost packet is sent again, and the trace has it then."""
    made, log, counts = begun()
    made.feed(0, segment(103, b"def"), 0)
    made.feed(1, segment(9000, ack=100), 2 * SECOND)
    made.feed(0, segment(100, b"abc"), 3 * SECOND)
    assert log.streams[0] == b"abcdef"
    assert not counts.gaps


def test_a_gap_at_the_end_is_known_by_the_acknowledgement() -> None:
    made, log, _ = begun()
    made.feed(1, segment(9000, ack=150), 0)
    made.finish(SECOND)
    assert log.said == [("gap", 0, 50)]


def test_a_cut_packet_is_a_gap_behind_what_there_is() -> None:
    made, log, _ = begun()
    made.feed(0, segment(100, b"ab", size=5), 0)
    made.feed(0, segment(105, b"fg"), 1)
    assert log.said == [("data", 0, b"ab"), ("gap", 0, 3), ("data", 0, b"fg")]


def test_a_fin_comes_after_what_was_sent_before_it() -> None:
    made, log, _ = begun()
    made.feed(0, segment(103, b"def", FIN | ACK), 1)
    assert log.said == []
    made.feed(0, segment(100, b"abc"), 2)
    made.feed(1, segment(9000, ack=107), 3)
    assert log.said[-1] == ("fin", 0)
    assert not made.is_over
    made.feed(1, segment(9000, b"bye", FIN | ACK, ack=107), 4)
    assert log.said[-2:] == [("data", 1, b"bye"), ("fin", 1)]
    assert made.is_over


def test_a_reset_says_what_was_on_its_way() -> None:
    made, log, _ = begun()
    made.feed(0, segment(103, b"def"), 0)
    made.feed(1, segment(9000, flags=RST), 1)
    made.feed(0, segment(0, flags=RST), 2)
    assert log.said == [("gap", 0, 3), ("data", 0, b"def"), ("rst", 1)]
    assert made.is_over


@pytest.mark.parametrize(
    ("away", "is_believed"), [(0, True), (1 << 20, True), (-(1 << 20), True), (3 << 29, False)]
)
def test_a_reset_from_outside_of_any_window_ends_nothing(away: int, is_believed: bool) -> None:
    """RFC 9293 section 3.5.3: whoever gets one does not believe it."""
    made, log, _ = begun()
    made.feed(0, segment(100, b"abc"), 1)
    made.feed(0, segment(103 + away, flags=RST), 2)
    made.feed(0, segment(103, b"def"), 3)
    assert (("rst", 0) in log.said, made.is_over) == (is_believed, is_believed)
    assert is_believed or log.streams[0] == b"abcdef"


def test_one_acknowledgement_far_beyond_what_there_is_makes_no_gap() -> None:
    made, log, counts = begun()
    made.feed(0, segment(100, b"abc"), 1)
    made.feed(1, segment(9000, ack=103 + 10**9), 2)
    made.feed(1, segment(9000, ack=103), 3)
    made.feed(0, segment(103, b"def"), SECOND)
    made.finish(2 * SECOND)
    assert (bytes(log.streams[0]), counts.gaps) == (b"abcdef", 0)


def test_what_a_receiver_acknowledges_again_and_again_is_a_gap_however_far() -> None:
    made, log, counts = begun()
    made.feed(0, segment(100, b"abc"), 1)
    for time_ns in (2, 3, SECOND):
        made.feed(1, segment(9000, ack=103 + 10**9 + time_ns), time_ns)
    assert counts.gaps == 1
    assert [one[:2] for one in log.said][-1] == ("gap", 0)


@pytest.mark.parametrize("away", [10**9, 3 << 29, 1000, -50])
def test_a_forged_fin_does_not_hide_the_real_one(away: int) -> None:
    made, log, counts = begun()
    made.feed(0, segment(100, b"abc"), 1)
    made.feed(0, segment(103 + away, flags=FIN | ACK), 2)
    made.feed(0, segment(103, b"def"), 3)
    made.feed(0, segment(106, flags=FIN | ACK), 4)
    assert (bytes(log.streams[0]), counts.gaps) == (b"abcdef", 0)
    assert log.said[-1] == ("fin", 0)


def test_a_fin_sent_again_farther_away_changes_nothing() -> None:
    made, log, _ = begun()
    made.feed(0, segment(103, flags=FIN | ACK), 1)
    made.feed(0, segment(503, flags=FIN | ACK), 2)
    made.feed(0, segment(100, b"abc"), 3)
    assert log.said == [("data", 0, b"abc"), ("fin", 0)]


@pytest.mark.parametrize("end", ["finish", "rst", "fin"])
@pytest.mark.parametrize("away", [1, 500, 3_000_000])
def test_a_forged_segment_ahead_of_the_stream_is_no_gap(end: str, away: int) -> None:
    """No byte of the true stream is missing, and the receiver never says that it has more."""
    made, log, counts = begun()
    made.feed(0, segment(100, b"abc"), 1)
    made.feed(0, segment(103 + away + 3, b"forged"), 2)
    made.feed(1, segment(9000, ack=103), SECOND)
    made.feed(0, segment(103, b"def"), SECOND + 1)
    made.feed(1, segment(9000, ack=106), SECOND + 2)
    if end == "rst":
        made.feed(1, segment(9000, flags=RST), SECOND + 3)
    elif end == "fin":
        made.feed(0, segment(106, flags=FIN | ACK), SECOND + 3)
    made.finish(2 * SECOND)
    assert (bytes(log.streams[0]), counts.gaps) == (b"abcdef", 0)
    assert [one for one in log.said if one[0] not in ("data", end)] == []


def test_bytes_in_order_count_before_those_that_waited_for_them() -> None:
    made, log, counts = begun()
    made.feed(0, segment(103, b"FORGED"), 1)
    made.feed(0, segment(100, b"abcd"), 2)
    assert log.streams[0] == b"abcdORGED"
    made, log, counts = begun()
    made.feed(0, segment(103, b"FORGED"), 1)
    made.feed(0, segment(106, b"X"), 2)
    made.feed(0, segment(100, b"abcdefghi"), 3)
    made.finish(SECOND)
    assert (bytes(log.streams[0]), counts.gaps) == (b"abcdefghi", 0)


def test_what_the_receiver_may_still_have_read_is_a_gap_at_the_end() -> None:
    """The connection ended before an acknowledgement could say either: near to the rule above."""
    made, log, _ = begun()
    made.feed(0, segment(103, b"def"), 0)
    made.feed(1, segment(9000, ack=100), 1)
    made.finish(2)
    assert log.said == [("gap", 0, 3), ("data", 0, b"def")]


def test_what_was_acknowledged_is_a_gap_whatever_was_lacked_before() -> None:
    made, log, _ = begun()
    made.feed(0, segment(103, b"def"), 0)
    made.feed(1, segment(9000, ack=100), SECOND)
    made.feed(1, segment(9000, ack=106), SECOND + 1)
    made.finish(SECOND + 2)
    assert log.said == [("gap", 0, 3), ("data", 0, b"def")]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 1000)
    made, log, counts = begun()
    for place in range(200, 4000, 100):
        made.feed(0, segment(place, bytes(100)), 0)
    assert log.said[0] == ("gap", 0, 100)
    assert counts.gaps == 1


class Walked(dict[int, tuple[bytes, int, int]]):
    """What waits, and how often all of it was looked at."""

    times = 0

    def __iter__(self) -> Iterator[int]:
        self.times += 1
        return super().__iter__()


@pytest.mark.parametrize("step", [1, 2])
def test_a_segment_behind_a_hole_looks_at_no_other_one(step: int) -> None:
    """With thousands that wait, each packet of a trace with a lost one took a millisecond."""
    made, log, counts = begun(0xFFFFFF00)
    made.halves[0].waiting = waiting = Walked()
    for number in range(5000):
        made.feed(0, segment(0xFFFFFF01 + step * number, b"x"), 0)
    made.feed(0, segment(0xFFFFFF00, b"y"), 0)
    made.finish(SECOND)
    assert waiting.times == 0
    assert log.streams[0] == (b"x" * 5000 if counts.gaps else b"y" + b"x" * 5000)
    assert counts.lost == (1 + (step - 1) * 4999)


def test_a_connection_that_was_there_before_begins_with_its_first_segment() -> None:
    made, log, counts = begun(is_midway=True)
    made.feed(0, segment(700, b"abc", ack=9000), 0)
    made.feed(1, segment(9000, b"def", ack=703), 1)
    assert log.streams == [b"abc", b"def"]
    assert not counts.gaps


@given(st.data())
def test_any_order_and_repetition_gives_the_stream(data: st.DataObject) -> None:
    text = data.draw(st.binary(min_size=1, max_size=200))
    start = data.draw(st.sampled_from([100, 0xFFFFFF80, 0xFFFFFFFF]))
    chance = random.Random(data.draw(st.integers(0, 1000)))
    pieces = []
    place = 0
    while place < len(text):
        size = chance.randint(1, 40)
        pieces.append((place, text[place : place + size]))
        place += size
    pieces += [(at, text[at : at + chance.randint(1, 60)]) for at in chance.choices(range(len(text)), k=5)]
    chance.shuffle(pieces)
    made, log, counts = begun(start)
    for at, piece in pieces:
        made.feed(0, segment(start + at, piece), 0)
    made.finish(SECOND)
    assert log.streams[0] == text
    assert counts.gaps == 0


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 400), st.integers(0, 63), st.integers(0, 60))))
def test_no_segments_raise_and_gaps_add_up(segments: list[tuple[int, int, int, int]]) -> None:
    made, log, counts = begun()
    for number, (side, place, flags, size) in enumerate(segments):
        made.feed(side, segment(place, bytes(size), flags, ack=place), number * SECOND // 10)
    made.finish(1 << 60)
    assert counts.lost == sum(int(str(one[2])) for one in log.said if one[0] == "gap")


def test_packets_of_a_wire() -> None:
    """As the helper of other tests makes them: nothing is missing, everything ends."""
    from wsinspect.formats.packets.link import dissect

    wire = Wire()
    tcp = Tcp(wire, segment=10).upgrade()
    tcp.fin(CLIENT)
    tcp.fin(SERVER)
    log, counts = Log(), Counts()
    made = Reassembly(log, counts, is_midway=False)
    for time_ns, link, data in wire.read():
        found = dissect(link, data)
        assert isinstance(found, Segment)
        made.feed(int(found.source[3] == 2), found, time_ns)
    assert made.is_over
    assert not counts.gaps
    assert not counts.repeated
    assert log.streams[0].startswith(b"GET /chat")
    assert wire.packets[0][0] == START_NS
