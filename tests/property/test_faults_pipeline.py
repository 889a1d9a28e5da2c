"""Faults for any traffic: nothing is lost by arming and disarming, and the same seed decides the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.faulted import C2S, KEY, S2C, Faulted, text
from wsinspect.faults.deflater import Deflater
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.header import frame_length

FRAMES = st.lists(
    st.builds(
        lambda opcode, payload, masked: serialize_frame(opcode, payload, key=KEY if masked else None),
        st.sampled_from([1, 2, 9, 10, 3]),
        st.binary(max_size=300),
        st.booleans(),
    ),
    max_size=12,
)
HOLDING = st.sampled_from(
    [
        {"kind": "latency", "latency": "100ms"},
        {"kind": "latency", "latency": "50ms", "jitter": "50ms"},
        {"kind": "bandwidth", "rate": "1KB/s"},
        {"kind": "loss", "loss": 0.5, "correlation": 0.5, "segment": 7},
        {"kind": "hold", "count": 5},
        {"kind": "blackhole"},
        {"kind": "slicer", "size": 2, "delay": "5ms"},
    ]
)
PARAMS = st.builds(
    DeflateParams,
    server_no_context_takeover=st.booleans(),
    server_max_window_bits=st.integers(8, 15),
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, position = [], 0
    for size in sizes:
        chunks.append(data[position : position + size])
        position += size
    return [chunk for chunk in [*chunks, data[position:]] if chunk]


@given(st.binary(max_size=400), st.lists(st.integers(1, 60)))
def test_a_rule_that_matches_nothing_changes_no_byte_of_anything(data: bytes, sizes: list[int]) -> None:
    book = Faulted({"kind": "drop", "match": "op:0xF len:77"}).s2c(*cut(data, sizes)).at(5000)
    held, _ = book.faults.lanes[S2C].splitter.give_up()
    assert bytes(book.got[S2C]) + held == data


@given(FRAMES, st.lists(st.integers(1, 60)), HOLDING, st.data())
def test_a_fault_removed_live_loses_nothing_and_keeps_the_order(
    frames: list[bytes], sizes: list[int], rule: dict, data: st.DataObject
) -> None:
    stream = b"".join(frames)
    chunks = cut(stream, sizes)
    armed = data.draw(st.integers(0, len(chunks)))
    disarmed = data.draw(st.integers(armed, len(chunks)))
    boundary = Boundary()
    for chunk in chunks[:armed]:
        boundary.feed(chunk)
    book = Faulted({**rule, "name": "one"}, boundaries=(Boundary(), boundary))
    for number, chunk in enumerate(chunks[armed:], armed):
        if number == disarmed:
            book.disarm("one")
        book.s2c(chunk).at(book.now / 1e6 + 7)
    book.disarm("one")
    assert b"".join(chunks[:armed]) + bytes(book.got[S2C]) == stream


NEEDED: dict[str, dict] = {
    "latency": {"latency": "15ms"},
    "hold": {"count": 2},
    "inject": {"payload": "ours"},
}
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["drop", "duplicate", "reorder", "corrupt", "latency", "hold", "inject"]),
            "match": st.sampled_from(
                ["op:pong", "op:ping,text", "-op:text", "rsv1:1", "len>5", "path:/x", "op:3"]
            ),
        },
        optional={
            "when": st.sampled_from([{"nth": 2}, {"every": 2}, {"after": "2frames"}, {"after": "10ms"}])
        },
    ).map(lambda rule: {**NEEDED.get(str(rule["kind"]), {}), **rule}),
    min_size=1,
    max_size=3,
)


@given(FRAMES, st.lists(st.integers(1, 60)), st.booleans(), RULES)
def test_the_short_way_past_the_rules_changes_nothing(
    frames: list[bytes], sizes: list[int], is_cut: bool, rules: list[dict]
) -> None:
    chunks = cut(b"".join(frames), sizes) if is_cut else frames
    rules = [{**rule, "name": f"rule{number}"} for number, rule in enumerate(rules)]
    short, long = Faulted(*rules), Faulted()
    long.takes_short_ways = False
    for rule in rules:
        long.arm(rule)
    for number, chunk in enumerate(chunks):
        for book in (short, long):
            book.s2c(chunk).at(number * 7)
    for book in (short, long):
        for rule in rules:
            book.disarm(rule["name"])
    assert short.ledger == long.ledger
    assert (short.got, short.sends) == (long.got, long.sends)


@given(FRAMES, st.lists(st.integers(1, 60)))
def test_the_scan_knows_every_frame_boundary(frames: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(frames)
    starts, position = {0}, 0
    while position < len(stream):
        length = frame_length(stream, position)
        assert length is not None
        position += length
        starts.add(position)
    boundary, position = Boundary(), 0
    for chunk in cut(stream, sizes):
        boundary.feed(chunk)
        position += len(chunk)
        assert boundary.is_at_frame == (position in starts)
        assert boundary.head or position + boundary.skip in starts


@given(st.lists(st.text(max_size=40), min_size=1, max_size=20), st.integers(0, 2**63 - 1), st.integers(1, 9))
def test_the_same_seed_decides_the_same_whatever_else_happens(
    messages: list[str], seed: int, attempt: int
) -> None:
    rules = (
        {"kind": "drop", "direction": "s2c", "probability": 0.3},
        {"kind": "corrupt", "direction": "s2c", "probability": 0.3},
    )
    alone = Faulted(*rules, seed=seed, attempt=attempt)
    busy = Faulted(*rules, seed=seed, attempt=attempt)
    other = Faulted(*rules, seed=seed, attempt=attempt + 1)
    alone.s2c(*(text(message) for message in messages))
    for number, message in enumerate(messages):
        other.s2c(text("noise"))
        busy.c2s(text("noise", C2S)).at(number).s2c(text(message))
    assert alone.got[S2C] == busy.got[S2C]
    assert alone.ledger == busy.ledger


@given(st.lists(st.binary(max_size=120), max_size=15), PARAMS, st.integers(0, 1000))
def test_what_is_left_inflates_whatever_is_taken_out(
    messages: list[bytes], params: DeflateParams, seed: int
) -> None:
    book = Faulted({"kind": "drop", "direction": "s2c", "probability": 0.4}, deflate=params, seed=seed)
    deflater = Deflater(params, S2C)
    for message in messages:
        book.s2c(serialize_frame(2, deflater.piece(message, first=True, fin=True), rsv=4))
    dropped = {event["frame"] for event in book.ledger}
    _, got = book.decoded(S2C, params)
    assert [one.data for one in got] == [one for index, one in enumerate(messages) if index not in dropped]


@given(
    st.lists(st.binary(max_size=80), min_size=1, max_size=14),
    st.sampled_from(
        [
            {"kind": "drop", "probability": 0.5},
            {"kind": "duplicate"},
            {"kind": "reorder", "probability": 0.5},
            {"kind": "fragment", "size": 7},
            {"kind": "replace", "with": "other", "probability": 0.5},
            {"kind": "latency", "latency": "15ms"},
            {"kind": "hold", "count": 3},
        ]
    ),
    PARAMS,
    st.booleans(),
    st.data(),
)
def test_what_is_compressed_stays_readable_when_rules_come_and_go(
    messages: list[bytes], rule: dict, params: DeflateParams, is_client: bool, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(messages)))
    last = data.draw(st.integers(first, len(messages)))
    direction = C2S if is_client else S2C
    # Another rule has looked at the stream from its opening, so what was compressed is known.
    book = Faulted({"kind": "drop", "match": "op:0xF", "name": "idle"}, deflate=params)
    deflater = Deflater(params, direction)
    for number, message in enumerate(messages):
        if number == first:
            book.arm({**rule, "name": "one"})
        if number == last:
            book.disarm("one")
        payload = deflater.piece(message, first=True, fin=True)
        book.feed(direction, serialize_frame(2, payload, rsv=4, key=KEY if is_client else None))
        book.at(book.now / 1e6 + 7)
    book.disarm("one")
    frames, got = book.decoded(direction, params)
    assert {frame.violation for frame in frames} <= {None}
    assert all(frame.masked == is_client for frame in frames)
    found = [one.data for one in got]
    assert found[:first] == messages[:first]
    untouched = messages[last:]
    assert found[len(found) - len(untouched) :] == untouched
    inside = found[first : len(found) - len(untouched)]
    if rule["kind"] in ("fragment", "latency", "hold"):
        assert inside == messages[first:last]
    elif rule["kind"] == "reorder":
        assert sorted(inside, key=repr) == sorted(messages[first:last], key=repr)
    elif rule["kind"] == "duplicate":
        assert inside == [one for one in messages[first:last] for _ in range(2)]
    elif rule["kind"] == "drop":
        dropped = {event["frame"] for event in book.ledger}
        assert inside == [one for at, one in enumerate(messages) if first <= at < last and at not in dropped]
