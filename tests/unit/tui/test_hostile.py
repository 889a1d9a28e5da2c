"""Everything a peer or a stranger's file holds is hostile: shown escaped, measured right, never slow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support.tui_captures import CaptureBuilder, at, connect, many_frames
from tests.support.tui_parts import Bytes, row
from tests.support.tui_pilot import Screen, opened
from wsinspect.present.cells import text_of, width_of
from wsinspect.present.records import PREVIEW_BYTES
from wsinspect.present.rows import Caps, format_row
from wsinspect.text import escape_bytes
from wsinspect.tui.documents import TEXT, make_document
from wsinspect.tui.screens.handshake import HandshakePane

ESCAPES = [
    b"\x1b]0;owned\x07",
    b"\x1b[2J\x1b[H\x1b[31mred",
    b"\x1bP+q544e\x1b\\",
    b"\x9b31m\xc2\x9b31m",
    b"\x1b]52;c;aGFjaw==\x07",
    b"[bold red]markup[/] [@click=app.quit]x[/]",
    "\u202edesrever\u2066\u200b\ufeff".encode(),
    "\U000e0041\U000e0042 tags".encode(),
    "世界한국어🙂👩‍👩‍👧".encode(),
    ("e" + "\u0301" * 200).encode(),
    b"\xff\xfe\xed\xa0\x80\xf4\x90\x80\x80",
    b"\r\n\t\x00\x7f",
    ("\u2028line\u2029para\ue000private").encode(),
]


def is_safe(text: str) -> bool:
    """No character that a terminal acts on, or that turns the order of others round."""
    return all(char.isprintable() or char == "\u3000" for char in text) and "\x1b" not in text


def lines_of(screen: Screen) -> str:
    """Every line that is drawn now; each exactly as wide as its widget."""
    seen = []
    for widget in screen.app.screen.query("LinePane, OneLine"):
        if widget.display and widget.size.height:
            for y in range(widget.size.height):
                strip = widget.render_line(y)
                assert strip.cell_length == widget.size.width
                seen.append(strip.text)
    return "".join(seen)


def hostile_connection(builder: CaptureBuilder, number: int, payload: bytes) -> None:
    """The payload wherever a peer, or the file itself, has a say."""
    text = payload.decode("utf-8", "replace")
    builder.connection(
        number,
        path=text,
        client=text,
        host=text,
        subprotocol=text,
        extensions=text,
        error=text,
        tap=text,
        server_close_code=1000,
        server_close_reason=text,
        ended_by=text,
        how=text,
        state="closed",
        closed_ns=at(9),
    )
    builder.handshake(
        number,
        request_in=b"GET /" + payload + b" HTTP/1.1\r\nX: " + payload + b"\r\n\r\n",
        response_in=payload,
        body=payload,
        problems=json.dumps([text]),
        server_tls=json.dumps({"version": text, "certificate": {"subject": text, "sans": [text]}}),
    )
    frame = builder.frame(number, 1, 1, payload, violation=text[:20])
    builder.frame(number, 2, 8, b"\x03\xe8" + payload)
    builder.fault(text, text, number, frame, 1, note=text)
    fixes = [{"for": text, "text": text}]
    builder.finding(text, text, number, frame, title=text, meaning=text, evidence=[text], fixes=fixes)
    builder.event(0, None, "unstored", {"bytes": 5, "reason": text})


@pytest.mark.asyncio
async def test_no_field_of_a_capture_reaches_the_terminal_as_it_is(tmp_path: Path):
    path = tmp_path / "hostile.db"
    with CaptureBuilder(path) as builder:
        for number, payload in enumerate(ESCAPES, 1):
            hostile_connection(builder, number, payload)
    async with opened(path, size=(110, 60)) as screen:
        app = screen.app
        shown = [lines_of(screen)]
        for number in range(1, len(ESCAPES) + 1):
            app.main.select_now(number)
            await screen.settle()
            for tab in range(5):
                app.main.inspector.choose_tab(tab)
                shown.append(lines_of(screen))
            app.main.inspector.choose_tab(0)
            for view in ("text", "json", "hex"):
                app.main.inspector.choose_view(view)
                shown.append(lines_of(screen))
        await screen.press("h")
        for number in range(1, len(ESCAPES) + 1):
            app.page.query_one(HandshakePane).show(number)
            shown.append(lines_of(screen))
        for key in ("t", "i", "f"):
            await screen.press(key)
            for _ in ESCAPES:
                shown.append(lines_of(screen))
                await screen.press("down")
    assert all(map(is_safe, shown))


@given(st.binary(max_size=700), st.integers(20, 200))
def test_any_payload_as_a_row_and_as_text(data, width):
    line = format_row(row(preview=escape_bytes(data) if data else ""), Caps(width))
    assert is_safe(text_of(line))
    assert width_of(line) <= width
    document = make_document(TEXT, Bytes(data))
    for number in range(document.line_count(width)):
        assert is_safe(text_of(document.line(number, width)))


def test_widths_are_those_of_the_terminal():
    for text in ("abc", "世界", "한국어", "é", "\u0065\u0301", "ｗｉｄｅ"):
        assert width_of([(text, "")]) == cell_len(text)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_of_100_mib_only_a_preview_is_read(tmp_path):
    path = tmp_path / "large.db"
    size = 100 * 1024 * 1024
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        for _ in range(3):
            number = builder.frame(1, 1, 2, b"")
            builder.database.execute(
                "UPDATE frame SET payload = zeroblob(?), wire_length = ?, header = x'827f0000000006400000' "
                "WHERE id = ?",
                (size, size + 10, number),
            )
    async with opened(path) as screen:
        assert "100 MiB" not in "".join(screen.pane("frames"))
        assert "00 00 00 00" in screen.pane("frames")[2]
        await screen.press("3", "g", "4", "end")
        assert screen.pane("inspector")[-1].startswith(" 063ffff0  00 00")
        await screen.press("v")
        assert "windows" in screen.pane("inspector")[2]
        assert screen.selection.known_record(1) is not None
        record = screen.selection.record(1)
        assert record is not None
        assert len(record.frame.payload) == PREVIEW_BYTES


#: What a stranger's file may hold; each on its own is for `make test-all`.
ODD_VALUES = [
    "UPDATE frame SET header = 'text' WHERE id % 2",
    "UPDATE frame SET header = x'' WHERE id % 2",
    "UPDATE frame SET payload = 'text' WHERE id % 2",
    "UPDATE frame SET connection_id = -1",
    "UPDATE frame SET connection_id = 1 << 40",
    "UPDATE frame SET bits = -5",
    "UPDATE frame SET time_ns = -9000000000000000000 WHERE id % 2",
    "UPDATE frame SET wire_length = 9000000000000000000",
    "UPDATE frame SET message_id = 77, bits = 1 << 8",
    "UPDATE connection SET attempt_ns = NULL, state = 'odd', client = NULL, path = NULL, host = NULL",
    "UPDATE connection SET attempt_ns = -1, closed_ns = 9000000000000000000",
    "UPDATE meta SET value = '{' ",
    "UPDATE event SET detail = '[1'",
    "INSERT INTO finding VALUES (1, 'x', 'y', 9, 9, 'not json')",
    "INSERT INTO fault_event VALUES (1, 5, 9, 9, 'x', 'y', 1, '[]')",
    "DELETE FROM frame WHERE id > 10",
    "DELETE FROM connection",
    "INSERT INTO stored_message (id, connection_id, is_s2c, opcode, first_frame, last_frame, compressed, "
    "length, data) VALUES (1, 1, 0, 99, 1 << 60, -5, 1, -1, 'text')",
]
#: Those that one file can have together, each on frames of its own.
ODD_TOGETHER = [
    "UPDATE frame SET header = 'text' WHERE id % 8 = 0",
    "UPDATE frame SET header = x'' WHERE id % 8 = 1",
    "UPDATE frame SET payload = 'text' WHERE id % 8 = 2",
    "UPDATE frame SET bits = -5 WHERE id % 8 = 3",
    "UPDATE frame SET time_ns = -9000000000000000000 WHERE id % 8 = 4",
    "UPDATE frame SET wire_length = 9000000000000000000 WHERE id % 8 = 5",
    "UPDATE frame SET message_id = 77, bits = 1 << 8 WHERE id % 8 = 6",
    "UPDATE frame SET connection_id = 1 << 40 WHERE id > 45",
    "UPDATE frame SET connection_id = -1 WHERE id > 48",
    *ODD_VALUES[-9:-3],
    ODD_VALUES[-1],
]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "statements",
    [
        ODD_TOGETHER,
        ["DELETE FROM connection"],
        *(pytest.param([one], id=one[:60], marks=pytest.mark.slow) for one in ODD_VALUES),
    ],
)
async def test_odd_values_in_a_strangers_file_make_no_tracebacks(tmp_path, statements):
    path = many_frames(tmp_path / "odd.db", 50)
    database = connect(path)
    for statement in statements:
        database.execute(statement)
    database.close()
    async with opened(path) as screen:
        app = screen.app
        shown = [lines_of(screen)]
        app.main.action_next_finding(1)
        app.main.action_mate()
        app.action_copy_curl()
        for tab in range(5):
            app.main.inspector.choose_tab(tab)
            shown.append(lines_of(screen))
        for name in ("handshake", "timeline", "findings", "faults"):
            await app.action_page(name)
            await screen.pilot.pause()
            shown.append(lines_of(screen))
        await screen.press("3", "s", "greater_than_sign", "escape")
        assert all(map(is_safe, shown))
