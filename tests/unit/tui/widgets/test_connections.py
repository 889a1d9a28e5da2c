"""The connection list: what a capture lacks of a connection is said at it, by direction."""

import pytest

from tests.support.chats import chat_capture, sandwich_capture
from tests.support.tui_captures import CaptureBuilder, hold_engine_lock
from tests.support.tui_captures import chat_capture as timeline_capture
from tests.support.tui_pilot import opened
from wsinspect.capture.reader import Capture
from wsinspect.present.words import end_in, end_words
from wsinspect.text import grouped
from wsinspect.tui.widgets.connections import _missing


@pytest.fixture
def connection(tmp_path):
    with Capture.open(chat_capture(tmp_path / "chat.db")) as capture:
        return capture.connection(1)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, ""),
        ({"gaps": "c2s=412"}, ", c>s 412 B not stored"),
        ({"gaps": "s2c=2048,c2s="}, ", c>s bytes not stored, s>c 2.0 KiB not stored"),
        ({"gaps": "c2s=1,c2s=,c2s=1"}, ", c>s bytes not stored"),
        ({"gaps": "c2s=412=trace,c2s==opaque"}, ", c>s 412 B not in the trace"),
        ({"gaps": "c2s=4=trace,s2c=5"}, ", c>s 4 B not stored, s>c 5 B not stored"),
        ({"gaps": "==unread"}, ", headers or events not read"),
        ({"gaps": "s2c==opaque"}, ", s>c bytes not stored"),
        ({"gaps": "="}, ", headers or events not stored"),
        ({"evicted_payloads": 3, "evicted_bytes": 9}, ", 3 payloads deleted"),
        ({"gaps": "c2s=1", "evicted_payloads": 3}, ", c>s 1 B not stored, 3 payloads deleted"),
    ],
)
def test_what_is_missing(connection, facts, words):
    assert _missing(connection._replace(**facts)) == words


def test_the_end_of_a_connection_that_lacks_bytes_is_not_the_engine_s_death(connection):
    lost = connection._replace(state="lost")
    assert end_words(lost) == "the proxy exited"
    assert end_words(lost._replace(gaps="c2s=1")) == "its end was not recorded"


def test_a_close_that_may_be_among_missing_bytes_was_not_therefore_never_sent(connection):
    ended = {"ended_by": "server", "how": "fin", "js_code": None}
    codes = dict.fromkeys(
        ("client_close_code", "client_close_reason", "server_close_code", "server_close_reason")
    )
    cut = connection._replace(**ended, **codes)
    assert end_words(cut) == "FIN by server, no CLOSE"
    assert end_words(cut._replace(gaps="s2c=1")) == "end not on record, FIN by server"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 connection"), (7, "7 connections"), (1_234, "1 234 conn")]
)
async def test_all_of_them_are_named_whole_where_it_is_narrow(tmp_path, count, words):
    with CaptureBuilder(tmp_path / "many.db") as builder:
        for number in range(1, count + 1):
            builder.connection(number, number, path="/chat?room=1")
    async with opened(tmp_path / "many.db", size=(80, 24)) as screen:
        lines = screen.pane("connections")
        assert f" {words} " in lines[2]
        assert lines[1].index("target") == lines[2].index(words) == lines[3].index("/chat?room=1")


@pytest.mark.asyncio
async def test_a_scroll_bar_takes_no_column_away(tmp_path):
    for count in (2, 40):
        with CaptureBuilder(tmp_path / f"{count}.db") as builder:
            for number in range(1, count + 1):
                builder.connection(number, number, path="/chat?room=1")
        async with opened(tmp_path / f"{count}.db", size=(120, 40)) as screen:
            header = screen.pane("connections")[1].split()
            assert header == [
                "#",
                "state",
                "target",
                "subproto",
                "ext",
                "c>s",
                "s>c",
                "rtt",
                "p50",
                "last",
                "end",
            ]


REFUSED = "cannot connect to 127.0.0.1:9999: Connection refused"


@pytest.mark.parametrize(
    ("facts", "cells", "shown"),
    [
        ({"error": REFUSED}, 60, REFUSED),
        ({"error": REFUSED}, 40, "cannot connect: Connection refused"),
        ({"error": REFUSED}, 18, "Connection refused"),
        ({"error": REFUSED}, 15, "cannot connect"),
        ({"error": REFUSED}, 10, "cannot…"),
        ({"error": "cannot connect to [::1]:9 or 127.0.0.1:9: timed out"}, 18, "timed out"),
        ({"error": "the client closed the connection to the proxy"}, 30, "the client closed…"),
        ({"error": "the certificate, which has expired"}, 18, "the certificate…"),
        ({"error": "Unbreakable-and-long"}, 10, "Unbreakable-and-long…"),
        ({"error": None}, 18, "failed"),
        ({"state": "refused", "status": 403, "error": "not one of ours"}, 18, "HTTP 403"),
        ({"state": "refused", "status": 403, "error": "short"}, 18, "HTTP 403 short"),
    ],
)
def test_why_a_connection_failed_is_whole_or_ends_at_a_word(connection, facts, cells, shown):
    assert end_in(connection._replace(**{"state": "failed", **facts}), cells) == shown


@pytest.mark.asyncio
async def test_many_open_connections_are_counted_in_groups_of_three(tmp_path):
    builder = CaptureBuilder(tmp_path / "many.db")
    for number in range(1, 1_002):
        builder.connection(number)
    builder.close(clean=False)
    lock = hold_engine_lock(tmp_path / "many.db")
    async with opened(tmp_path / "many.db") as screen:
        await screen.until(lambda: screen.model.is_live)
        assert f"Connections  {grouped(1_001)}, {grouped(1_001)} open" in screen.pane("connections")[0]
    lock.release()


@pytest.mark.asyncio
@pytest.mark.parametrize("width", [80, 120, 130])
@pytest.mark.parametrize("count", [2, 60])
async def test_names_are_above_their_columns_with_and_without_a_scroll_bar(tmp_path, width, count):
    with CaptureBuilder(tmp_path / "many.db") as builder:
        for number in range(1, count + 1):
            builder.connection(number)
    async with opened(tmp_path / "many.db", size=(width, 36)) as screen:
        _, header, _, row, *_ = screen.pane("connections")
        for name, cell in (("c>s", " 0"), ("s>c", " 0"), ("last", "0.0 s")):
            assert row[: header.index(name) + len(name)].endswith(cell), (header, row)


_NO_CODES = dict.fromkeys(
    ("client_close_code", "client_close_reason", "server_close_code", "server_close_reason")
)


@pytest.mark.parametrize(
    ("facts", "forms"),
    [
        (
            {"ended_by": "server", "how": "fin", "js_code": 1006, **_NO_CODES},
            ["1006: FIN by server, no CLOSE", "1006: FIN by server", "FIN by server"],
        ),
        (
            {"ended_by": "client", "how": "rst", "js_code": None, **_NO_CODES},
            ["RST by client, no CLOSE", "RST by client"],
        ),
        (
            {"ended_by": "server", "how": "close-frame"}
            | {"client_close_code": 1000, "server_close_code": 1001},
            ["1000/1001 by server", "1000/1001"],
        ),
        ({"state": "refused", "status": 403, "error": "not today"}, ["HTTP 403 not today", "HTTP 403"]),
    ],
)
def test_an_end_is_said_in_the_longest_form_that_is_whole(connection, facts, forms):
    one = connection._replace(**facts)
    for form, longer in zip(forms, [100, *(len(form) - 1 for form in forms)], strict=False):
        assert end_in(one, longer) == form
        assert end_in(one, len(form)) == form
    assert end_in(one, 3) == forms[-1]


@pytest.mark.asyncio
@pytest.mark.parametrize(("width", "end"), [(80, "FIN by server"), (120, "1006: FIN by server")])
async def test_who_ended_it_is_never_cut_off_in_the_list(tmp_path, width, end):
    async with opened(timeline_capture(tmp_path / "chat.db"), size=(width, 40)) as screen:
        await screen.press("1", "g")
        rows = screen.pane("connections")
        assert [row for row in rows if f" {end}" in row], rows
        assert not [row for row in rows if "CLOSED" in row and "…" in row], rows


@pytest.mark.asyncio
@pytest.mark.parametrize("width", [70, 80, 120, 200])
async def test_the_last_column_stands_two_cells_from_the_one_before(tmp_path, width):
    async with opened(timeline_capture(tmp_path / "chat.db"), size=(width, 40)) as screen:
        await screen.press("1", "g")
        header, *rows = (line for line in screen.pane("connections")[1:] if line)
        at = header.index(" end") + 1
        assert header[:at].endswith("last  ")
        assert all(not line[at - 2 : at].strip() for line in rows), rows


@pytest.mark.asyncio
async def test_an_open_connection_with_flags_has_no_dash_behind_them(tmp_path):
    with CaptureBuilder(tmp_path / "one.db") as builder:
        builder.connection(1)
        builder.connection(2)
        builder.finding("WS-CL-001", "error", 1, None, title="closed")
    async with opened(tmp_path / "one.db") as screen:
        await screen.until(lambda: bool(screen.model.findings))
        first, second = screen.pane("connections")[3:5]
        assert first.endswith("  -")
        assert second.endswith("  ✖1")


@pytest.mark.parametrize(
    ("severities", "flag"),
    [(["note"], "·1"), (["warning"], "▲1"), (["note", "warning"], "▲2"), (["error", "note"], "✖2")],
)
@pytest.mark.asyncio
async def test_the_sign_of_a_connection_s_findings_is_that_of_the_worst_one(tmp_path, severities, flag):
    with CaptureBuilder(tmp_path / "one.db") as builder:
        builder.connection(1)
        for severity in severities:
            builder.finding("WS-CL-001", severity, 1, None, title="closed")
    async with opened(tmp_path / "one.db") as screen:
        await screen.until(lambda: len(screen.model.findings) == len(severities))
        await screen.settle()
        assert any(line.endswith(f" {flag}") for line in screen.pane("connections"))


@pytest.mark.asyncio
async def test_on_the_row_of_all_no_url_is_offered_or_copied(tmp_path):
    """Not that of whatever frame is chosen below, either."""
    async with opened(timeline_capture(tmp_path / "chat.db"), size=(200, 40)) as screen:
        await screen.press("3", "g", "1", "g")
        assert screen.main.connection_in_view() is not None
        assert "copy URL" not in screen.line("keys")
        assert "as curl" not in screen.line("keys")
        await screen.press("y")
        assert screen.app.workspace.said() == "choose a connection first"
        screen.app.workspace.unsay()
        await screen.press("down")
        assert "y copy URL  Y as curl" in screen.line("keys")
        await screen.press("y")
        assert "copied the URL" in screen.app.workspace.said()


@pytest.mark.asyncio
@pytest.mark.parametrize("width", [80, 120, 200])
async def test_with_two_taps_each_connection_has_the_name_of_its_own(tmp_path, width):
    async with opened(sandwich_capture(tmp_path / "hop.db"), size=(width, 36)) as screen:
        _, header, _, *rows = screen.pane("connections")
        at = header.index(" tap ") + 1
        assert {row[at : at + 6].strip() for row in rows[:3]} == {"edge", "origin"}
        assert ["/refused" in row for row in rows[:3]] == [False, True, True]  # targets stay whole
        assert (" last" in header, " ext " in header) == (width >= 100, width >= 140)
        target = header.index(" target ")
        assert header[target:].split()[1] != "ext"
        after = next(name for name in (" subproto ", " c>s ") if name in header)
        assert header.index(after) - target >= 20, "a target has room"
        await screen.press("t")
        bars = "\n".join(screen.pane("timeline"))
        assert " edge /room" in bars
        assert " origin /room" in bars


@pytest.mark.asyncio
async def test_with_one_tap_no_column_repeats_its_name(tmp_path):
    async with opened(timeline_capture(tmp_path / "chat.db")) as screen:
        assert " tap " not in screen.pane("connections")[1]
