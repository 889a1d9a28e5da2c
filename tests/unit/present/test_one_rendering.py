"""`show` and the timeline say the same of a frame: cells, marks, notes and preview."""

from __future__ import annotations

import json

import pytest

from tests.support.tui_captures import CaptureBuilder, chat_frames
from tests.support.tui_parts import read_all
from wsinspect.capture.queries import timeline
from wsinspect.capture.reader import Capture
from wsinspect.present.cells import text_of
from wsinspect.present.frame_table import FrameTable
from wsinspect.present.glyphs import UNICODE
from wsinspect.present.notes import make_row
from wsinspect.present.objects import frame_object
from wsinspect.present.pages import page_of, read_pages
from wsinspect.present.rows import Caps, format_row
from wsinspect.present.terminal import Palette
from wsinspect.tui.source import Source
from wsinspect.wire.opcodes import opcode_name

WIDE = 400
#: What each frame has to say behind its cells, as both print it.
SAID = {
    1: '{"op":"sub","ch":"x"}',
    2: '╭ fragment 1 of 3  {"items":[1,',
    3: "↺ 5, rtt 5.1 ms, client leg  p1",
    4: "│ fragment 2 of 3  2,",
    5: "↺ 3, rtt 5.1 ms, client leg  p1",
    6: "╰ fragment 3 of 3; message 90, 17 B  3]}",
    7: "no pong  lost",
    8: "latency_c2s latency=250ms  held back",
    9: "drop_c2s; not sent on  de ad be ef de ad be ef de ad be ef de ad be ef …",
    10: "✖ WS-FR-003; ✖ reserved-opcode  72 65 73 65 72 76 65 64 2d 6f 70",
    11: '1001 going away "deploy"',
    12: "1001 going away",
    13: "payload deleted to make room (size limit)",
    14: "→ 5 B  Hello",
    15: "╭ fragment 1  (compressed)",
    16: "inflate-failed  (compressed)",
    17: "unsolicited  ff fe",
    18: "CLOSE without a code",
    19: "took 30 ms to arrive; sent on 40 ms later  slow",
    20: "not sent on  lost with its connection",
    21: "twice: duplicate  again",
    22: "fragment without a message  3f",
    23: "·␛[31m日本",
    24: 'phx_join room:1 ref 1  ["1","1","room:1","phx_join",{}]',
    25: "▲ WS-KA-001  named by a finding",
    26: "latency_s2c planned=120 ms dropped  later",
}
MARKS = {8: "↯", 9: "✕", 10: "!", 20: "✕", 21: "+", 25: "!", 26: "↯"}


@pytest.fixture
def rich(tmp_path):
    """A frame of every kind that has something to say."""
    path = tmp_path / "rich.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, state="closed", closed_ns=1)
        builder.connection(2, path="/socket/websocket", state="closed", closed_ns=1)
        chat_frames(builder, 1, 10)
        assert builder.frame(1, 3000, 1, b"gone") == 13
        builder.database.execute("UPDATE frame SET payload = NULL WHERE id = 13")
        deflated = builder.frame(1, 3001, 1, b"\xf2\x48\xcd\xc9", rsv=4, message_id=14)
        builder.message(14, 1, deflated, deflated, compressed=1, length=5, data=b"Hello")
        builder.frame(1, 3002, 1, b"\xf2\x48", rsv=4, fin=False, message_id=15)
        builder.message(15, 1, 15, None, compressed=1)
        builder.frame(1, 3003, 1, b"\xff\xff", rsv=4, message_id=16, s2c=True)
        builder.message(16, 1, 16, 16, is_s2c=1, compressed=1, problem="inflate-failed")
        builder.frame(1, 3004, 10, b"\xff\xfe")
        builder.frame(1, 3005, 8)
        builder.frame(1, 3006, 1, b"slow", span_ns=30_000_000, held_ms=40)
        builder.frame(1, 3007, 1, b"lost with its connection", sent_after_ns=-1)
        builder.fault("twice", "duplicate", 1, builder.frame(1, 3008, 1, b"again"), 3008)
        builder.frame(1, 3009, 0, b"?", s2c=True)
        builder.frame(1, 3010, 1, "·\x1b[31m日本".encode())
        builder.frame(2, 3011, 1, b'["1","1","room:1","phx_join",{}]')
        builder.finding(
            "WS-KA-001", "warning", 2, builder.frame(2, 3012, 1, b"named by a finding"), title="x"
        )
        late = builder.frame(2, 3013, 1, b"later", s2c=True)
        facts = {"planned_ns": 120_000_000, "dropped": True, "match": 3}
        builder.fault("latency_s2c", "latency", 2, late, 3013, **facts)
    return path


def shown_lines(path):
    """What `show` prints, page by page, and what it prints where a filter picks single frames."""
    lines, picked = {}, {}
    with Capture.open(path) as capture:
        for connection in capture.connections():
            tables = [FrameTable(connection, WIDE, Palette(False)) for _ in range(2)]
            for page in read_pages(capture, connection.id):
                for frame in page.frames:
                    (lines[frame.id],) = tables[0].frame_lines(frame, page)
                    alone = page_of(capture, [frame.id], with_payload=False)
                    (picked[frame.id],) = tables[1].frame_lines(alone.frames[0], alone)
    return lines, picked


def timeline_rows(path, width):
    index, source = read_all(path), Source(path)
    connections = {one.id: one for one in source.capture.connections()}
    findings = timeline.findings_of(source.capture, list(index.columns.ids))
    rows = {}
    for position, (number, record) in enumerate(source.records(list(index.columns.ids)).items()):
        row = make_row(
            record,
            index.fragment(position, record.message),
            zero_ns=connections[record.frame.connection_id].attempt_ns or 0,
            delta_ns=0,
            glyphs=UNICODE,
            findings=findings.get(number, ()),
            connection=connections[record.frame.connection_id],
        )
        rows[number] = row, text_of(format_row(row, Caps(width)))
    source.close()
    return rows


def test_lines_and_rows_have_the_same_cells_marks_and_notes(rich):
    lines, picked = shown_lines(rich)
    assert lines == picked
    rows = timeline_rows(rich, WIDE)
    assert sorted(lines) == sorted(rows) == sorted(SAID)
    for number, line in lines.items():
        row, drawn = rows[number]
        cells = line.split()
        assert cells[0] == drawn.split()[0] == str(number)
        assert abs(float(cells[1]) - float(drawn.split()[1])) <= 0.0005
        assert cells[3] == row.direction.arrow
        for cell in cells[4:7]:
            assert cell in drawn.split()
        before, behind = line[:58], line[58:]
        assert drawn.endswith(f"  {SAID[number]}")
        assert behind.endswith(SAID[number])
        marks = behind.removesuffix(SAID[number])
        drawn_marks = drawn.removesuffix(SAID[number])
        assert marks.replace("+250 ms; ", "").strip() == MARKS.get(number, "")
        assert all(sign in drawn_marks for sign in MARKS.get(number, ""))
        assert "!" not in before
    assert "↯ +250 ms; latency_c2s" in lines[8]
    assert "──↯ +250 ms──▶" in rows[8][1]


@pytest.mark.parametrize(
    ("width", "held", "dropped", "again"),
    [
        (120, "├──↯ +250 ms──▶┤", "├──✕           ┤", "├──+──────────▶┤"),
        (76, "├──↯───▶┤ TEXT         9  +250 ms; latency_c2s", "├──✕    ┤", "├──+───▶┤"),
        (
            56,
            "→ TEXT         9  ↯ +250 ms; latency_c2s",
            "→ BINARY      32  ✕ drop_c2s",
            "+ twice: duplicate",
        ),
    ],
)
def test_a_narrow_lane_leaves_marks_and_delay_to_the_notes(rich, width, held, dropped, again):
    rows = {number: drawn for number, (_, drawn) in timeline_rows(rich, width).items()}
    assert held in rows[8]
    assert dropped in rows[9]
    assert again in rows[21]


def test_json_has_the_same_words(rich):
    with Capture.open(rich) as capture:
        frames = capture.frames(limit=100)
    lines, _ = shown_lines(rich)
    for frame in frames:
        content = json.loads(json.dumps(frame_object(frame, None, False)))
        assert content["op"] == opcode_name(frame.opcode) == lines[frame.id].split()[4]
        assert all(code in lines[frame.id] for code in content["violations"])
        assert (content["sent_ns"] is None) == ("not sent on" in lines[frame.id])
        assert content.get("evicted", False) == ("deleted to make room" in lines[frame.id])


def test_what_was_sent_instead_is_shown_as_a_person_reads_it(tmp_path):
    cases = {
        b'{"amount":99}': 'payload={"amount":99}',
        "two\nlines \u00e9".encode(): "payload=two\u240alines \u00e9",
        b"\xff\x00": "payload=ff 00",
        b"": "payload=(empty)",
    }
    path = tmp_path / "edited.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, state="closed", closed_ns=1)
        for at, payload in enumerate(cases):
            frame = builder.frame(1, at, 1, b"as it came")
            builder.fault("break", "break", 1, frame, at, did="edit", payload=payload.hex())
        builder.fault("break", "break", 1, builder.frame(1, 9, 1, b"x"), 9, did="answer", answer=b"no".hex())
    lines, _ = shown_lines(path)
    for line, words in zip(lines.values(), [*cases.values(), "answer=no"], strict=True):
        assert words in line
