"""Playback, time lines, curl, keys and layout: everything without a screen."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from textual.geometry import Size

from tests.support.tui_captures import SECOND, CaptureBuilder, at
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import is_valid_key
from wsinspect.present.words import ago, close_codes, end_words
from wsinspect.tui import lanes
from wsinspect.tui.copying import curl_command, save_copy
from wsinspect.tui.keys import APP_KEYS, BY_ID, FAULT_KEYS, FOOTER, markdown
from wsinspect.tui.layout import heights, is_too_small
from wsinspect.tui.playback import SPEEDS, Playback
from wsinspect.tui.style import Palette, to_ascii

# -- playback


def test_the_play_head_moves_at_the_chosen_speed():
    play = Playback(0, 10 * SECOND)
    assert not play.tick(SECOND)
    play.toggle()
    play.tick(SECOND)
    assert play.at_ns == SECOND
    for _ in SPEEDS:
        play.change_speed(-1)
    assert play.speed == 0.1
    play.tick(SECOND)
    assert play.at_ns == 1.1 * SECOND
    for _ in SPEEDS:
        play.change_speed(1)
    assert play.speed == 100
    play.tick(SECOND)
    assert play.at_ns == 10 * SECOND
    assert not play.is_playing


def test_a_selection_is_looped():
    play = Playback(0, 100 * SECOND)
    for second in (30, 20):
        play.go(second * SECOND)
        play.mark()
    assert play.selection == (20 * SECOND, 30 * SECOND)
    play.is_looping = True
    play.go(29 * SECOND)
    play.toggle()
    play.tick(4 * SECOND)
    assert play.at_ns == 23 * SECOND
    play.next_mark()
    assert play.at_ns == 30 * SECOND
    play.next_mark()
    assert play.at_ns == 20 * SECOND
    play.mark()
    assert play.marks == [20 * SECOND]


def test_playing_at_the_end_starts_again():
    play = Playback(5, 10)
    play.go(99)
    assert play.at_ns == 10
    play.toggle()
    assert (play.at_ns, play.is_playing) == (5, True)


# -- time lines


def connections(tmp_path: Path, *rows: dict[str, Any]) -> list[Connection]:
    path = tmp_path / f"c{len(list(tmp_path.iterdir()))}.db"
    with CaptureBuilder(path) as builder:
        for number, row in enumerate(rows, 1):
            builder.connection(number, **row)
    with Capture.open(path) as capture:
        return capture.connections()


def storm(count: int, every_ms: float, open_ms: float) -> list[dict[str, Any]]:
    return [
        {
            "t_ms": number * every_ms,
            "client": f"10.0.0.7:{40000 + number}",
            "state": "closed",
            "closed_ns": at(number * every_ms + open_ms),
            "js_was_clean": 0,
        }
        for number in range(count)
    ]


def test_reconnects_of_one_client_share_a_line_and_their_pace_is_said(tmp_path):
    lines = lanes.time_lines(connections(tmp_path, *storm(5, 60_000, 59_000)))
    assert len(lines) == 1
    assert lanes.pattern_words(lines[0].ones) == "5 attempts, one every 60 s"
    bar = lanes.bar(lines[0], at(0), at(300_000), 100)
    assert bar.count(lanes.ATTEMPT) + bar.count(lanes.UNCLEAN) == 10
    assert bar[10] == lanes.OPEN


def test_connections_that_overlap_get_lines_of_their_own(tmp_path):
    lines = lanes.time_lines(connections(tmp_path, *storm(3, 1000, 1500)))
    assert [len(line.ones) for line in lines] == [2, 1]


def test_an_even_length_is_said_where_attempts_come_unevenly(tmp_path):
    rows = [
        row
        for start in (0, 70_000, 250_000)
        for row in [{**storm(1, 1, 1)[0], "t_ms": start, "closed_ns": at(start + 60_000)}]
    ]
    lines = lanes.time_lines(connections(tmp_path, *rows))
    assert lanes.pattern_words(lines[0].ones) == "3 attempts, each open for 60 s"


def test_a_refused_attempt_is_one_cell(tmp_path):
    refused = {"t_ms": 500, "state": "refused", "open_ns": None, "closed_ns": at(502)}
    lines = lanes.time_lines(connections(tmp_path, refused))
    bar = lanes.bar(lines[0], at(0), at(1000), 50)
    assert [what for what in bar if what] == [lanes.REFUSED]
    assert lanes.pattern_words(lines[0].ones) == "lasted 2 ms"


def test_sessions_of_a_client_come_before_its_address(tmp_path):
    rows = [
        {**row, "client": f"10.0.0.{n}:1", "client_session": 7} for n, row in enumerate(storm(2, 1000, 10))
    ]
    assert len(lanes.time_lines(connections(tmp_path, *rows))) == 1


# -- words


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"state": "open"}, "-"),
        ({"state": "refused", "status": 403}, "HTTP 403"),
        ({"state": "refused", "status": None, "error": "no\x1banswer"}, "no status no␛answer"),
        ({"state": "failed", "error": "connection refused"}, "connection refused"),
        ({"state": "lost"}, "the proxy exited"),
        (
            {"state": "closed", "closed_ns": 1, "js_code": 1006, "how": "rst", "ended_by": "server"},
            "1006: RST by server, no CLOSE",
        ),
        # What a file does not record, or could not be stored, was not therefore never sent.
        ({"state": "closed", "closed_ns": 1, "ended_by": "unknown"}, "end not on record"),
        ({"state": "closed", "closed_ns": 1, "ended_by": "unknown", "js_code": 1006}, "1006"),
        (
            {
                "state": "closed",
                "closed_ns": 1,
                "client_close_code": 1000,
                "server_close_code": 1001,
                "how": "close-frame",
            },
            "1000/1001",
        ),
    ],
)
def test_how_a_connection_ended_in_words(tmp_path, columns, words):
    (one,) = connections(tmp_path, columns)
    assert end_words(one) == words


def test_a_close_without_a_code_is_still_a_close(tmp_path):
    (one,) = connections(tmp_path, {"client_close_reason": b"", "js_code": 1005})
    assert close_codes(one) == "CLOSE"
    assert [ago(time_ns) for time_ns in (252 * SECOND, 725 * SECOND, 3599 * SECOND)] == [
        *("4 min 12 s", "12 min", "59 min")
    ]
    assert all(len(ago(seconds * SECOND)) <= 10 for seconds in (*range(0, 4000, 7), 10**6))
    assert [ago(time_ns) for time_ns in (400_000_000, 200 * SECOND, 7200 * SECOND)] == [
        "0.4 s",
        "3 min 20 s",
        "2.0 h",
    ]
    assert [ago(hours * 3600 * SECOND) for hours in (47, 48, 7975)] == ["47.0 h", "2 d", "332 d"]


# -- curl


def curl_words(tmp_path: Path, request: bytes | None) -> list[str]:
    path = tmp_path / "curl.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.handshake(1, request_in=request, request_out=None)
    with Capture.open(path) as capture:
        one = capture.connection(1)
        assert one is not None
        return shlex.split(curl_command(one, capture.handshake(1)))


def headers(words: list[str]) -> dict[str, str]:
    pairs = [words[at + 1].partition(": ") for at, word in enumerate(words) if word == "-H"]
    return {name.lower(): value for name, _, value in pairs}


def test_curl_speaks_http_1_1_and_sends_what_the_client_sent(tmp_path):
    words = curl_words(
        tmp_path,
        b"GET /chat?room=1 HTTP/1.1\r\nHost: localhost:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Cookie: a=b; c='d'\r\n\r\n",
    )
    assert words[0] == "curl"
    assert "--http1.1" in words
    assert words[-1] == "http://localhost:8080/chat?room=1"
    assert headers(words)["cookie"] == "a=b; c='d'"
    assert "host" not in headers(words)


@pytest.mark.parametrize(
    "request_in", [None, b"GET / HTTP/1.1\r\nConnection: close\r\nSec-WebSocket-Key: short\r\n\r\n"]
)
def test_curl_is_a_correct_handshake_whatever_the_client_sent(tmp_path, request_in):
    sent = headers(curl_words(tmp_path, request_in))
    assert is_valid_key(sent["sec-websocket-key"].encode())
    assert sent["upgrade"] == "websocket"
    assert sent["connection"] == "Upgrade"
    assert sent["sec-websocket-version"] == "13"


def test_nothing_in_a_request_can_leave_its_quotes_or_make_curl_read_a_file(tmp_path):
    words = curl_words(
        tmp_path, b"GET / HTTP/1.1\r\nX: '; rm -rf ~ #\x1b[2J\r\n@/etc/passwd: x\r\nY: $(id)\r\n\r\n"
    )
    assert headers(words)["x"] == "'; rm -rf ~ #[2J"
    assert headers(words)["y"] == "$(id)"
    assert not any(word.startswith("@") for word in words)


def test_a_copy_is_a_private_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = save_copy(b"\x00\xff", ".bin")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o600
    assert save_copy(b"2", ".bin") == path
    assert RawHead.parse(b"").raw == b""


# -- keys


def test_every_key_has_an_id_of_its_own_and_stands_in_the_table():
    ids = [key.id for key in (*APP_KEYS, *FAULT_KEYS)]
    assert len(set(ids)) == len(ids)
    table = markdown()
    for key in (*APP_KEYS, *FAULT_KEYS):
        assert key.id in table
        assert key.words in table
    for keys in FOOTER.values():
        for shown in keys:
            assert shown.id in BY_ID


def test_no_two_bindings_share_a_key():
    keys = [name for key in APP_KEYS for name in key.keys.split(",")]
    assert len(set(keys)) == len(keys)


# -- layout


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 36), (200, 50), (80, 22), (300, 100)])
def test_all_panes_fit_on_a_screen(width, height):
    shown = heights(Size(width, height), 3, connections=500, is_maximised=False, extra=0, taken=0)
    assert set(shown) == {1, 2, 3, 4}
    fixed = sum(shown.values())
    assert height - 2 - fixed >= 5
    assert all(rows >= 3 for number, rows in shown.items() if number != 3)


def test_one_pane_is_shown_where_it_is_narrow_low_or_wanted():
    for size, wanted in ((Size(79, 50), False), (Size(120, 19), False), (Size(200, 50), True)):
        assert heights(size, 4, connections=1, is_maximised=wanted, extra=0, taken=0) == {4: 0}


@pytest.mark.parametrize("extra", [-100, 0, 4, 1000])
def test_a_resized_inspector_leaves_room_for_frames(extra):
    shown = heights(Size(80, 24), 3, connections=3, is_maximised=False, extra=extra, taken=4)
    assert len(shown) == 1 or 24 - 2 - 4 - sum(shown.values()) >= 5


def test_too_small_is_below_60_by_15():
    assert is_too_small(Size(59, 15))
    assert is_too_small(Size(60, 14))
    assert not is_too_small(Size(60, 15))


def test_ascii_means_ascii():
    assert to_ascii("a…␛é世·") == "a~.???."
    strip = Palette(is_ascii=True).strip([("├──▶ 世", "")], 12)
    assert strip.text.isascii()
    assert strip.cell_length == 12
