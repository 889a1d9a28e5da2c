"""Frames are judged again when more becomes known of them: pongs, findings, faults, ends."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.support.tui_captures import CaptureBuilder, at, connect, hold_engine_lock, many_frames
from tests.support.tui_parts import SECOND, index_of, rows
from tests.support.tui_pilot import Screen, filtered, opened, shown_ids
from wsinspect.tui.views import View


def live(path: Path) -> Path:
    """An open connection, a ping without a pong, a text; an engine is at work."""
    builder = CaptureBuilder(path)
    builder.connection(1)
    builder.handshake(1)
    for number in range(20):
        builder.frame(1, 10 + number, 1, b"text %d" % number)
    builder.frame(1, 100, 9, b"p")
    builder.ping(21, 1, None)
    builder.close(clean=False)
    return path


def write(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    database = connect(path)
    database.execute("BEGIN")
    for sql, parameters in statements:
        database.execute(sql, parameters)
    database.execute("COMMIT")
    database.close()


def pong(path: Path) -> None:
    """The pong of frame 21."""
    insert = (
        "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
        "wire_length, payload) VALUES (22, 1, 1, 35329, ?, 0, 0, x'8a01', 3, x'70')"
    )
    write(
        path,
        (insert, (at(180),)),
        ("UPDATE ping SET pong_frame = 22, rtt_ns = 80000000 WHERE ping_frame = 21", ()),
    )


def finding(path: Path, frame: int) -> None:
    write(
        path,
        (
            "INSERT INTO finding (rule, severity, connection_id, frame_id, detail) VALUES (?, ?, 1, ?, '{}')",
            ("WS-FR-003", "error", frame),
        ),
    )


async def shows(screen: Screen, *ids: int) -> None:
    await screen.until(lambda: shown_ids(screen) == list(ids))


@pytest.mark.asyncio
async def test_a_ping_passes_once_its_pong_has_come(tmp_path):
    path = live(tmp_path / "live.db")
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await filtered(screen, "rtt>50ms")
        assert shown_ids(screen) == []
        pong(path)
        await shows(screen, 21, 22)
        assert "✓ 2 of 22" in screen.line("frames")
    lock.release()


@pytest.mark.asyncio
async def test_a_frame_passes_once_a_finding_or_a_fault_names_it(tmp_path):
    path = live(tmp_path / "live.db")
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await filtered(screen, "sev:error | fault:late")
        finding(path, 5)
        await shows(screen, 5)
        columns = "time_ns, connection_id, frame_id, rule, kind, seed"
        insert = f"INSERT INTO fault_event ({columns}) VALUES (?, 1, ?, ?, ?, 1)"
        write(path, (insert, (at(1), 3, "late", "latency")))
        await shows(screen, 3, 5)
    lock.release()


@pytest.mark.asyncio
async def test_what_does_not_pass_any_more_goes_and_the_chosen_frame_stays_chosen(tmp_path):
    path = live(tmp_path / "live.db")
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await filtered(screen, "!sev:error")
        screen.main.going.to_frame(12)
        await screen.pilot.pause()
        finding(path, 5)
        await screen.until(lambda: 5 not in shown_ids(screen))
        assert len(shown_ids(screen)) == 20
        assert screen.main.frames.selected_position() == 11
    lock.release()


@pytest.mark.asyncio
async def test_all_frames_are_judged_again_when_a_connection_ends(tmp_path):
    path = live(tmp_path / "live.db")
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await filtered(screen, "close:1006")
        assert shown_ids(screen) == []
        write(
            path,
            (
                "UPDATE connection SET state = 'closed', closed_ns = ?, js_code = 1006, js_was_clean = 0, "
                "ended_by = 'server', how = 'fin' WHERE id = 1",
                (at(500),),
            ),
        )
        await shows(screen, *range(1, 22))
        assert "1 of 1" in screen.line("connections")
    lock.release()


@pytest.mark.asyncio
async def test_a_paused_view_changes_when_it_continues(tmp_path):
    path = live(tmp_path / "live.db")
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await filtered(screen, "sev:error | op:ping")
        await screen.press("space")
        finding(path, 5)
        await screen.until(lambda: bool(screen.model.findings))
        await screen.until(lambda: bool(screen.main.filtering._verdicts))
        assert shown_ids(screen) == [21]
        await screen.press("space")
        await shows(screen, 5, 21)
    lock.release()


@pytest.mark.asyncio
async def test_keys_that_never_come_late_read_nothing_again(tmp_path):
    path = many_frames(tmp_path / "many.db", 100, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await filtered(screen, "len>10")
        finding(path, 5)
        await screen.until(lambda: bool(screen.model.findings))
        assert len(shown_ids(screen)) == 100
    lock.release()


@pytest.mark.asyncio
async def test_a_pass_that_is_slow_comes_back_to_the_frame_that_was_chosen(tmp_path):
    path = many_frames(tmp_path / "many.db", 60_000)
    async with opened(path) as screen:
        screen.main.going.to_frame(50_000)
        await screen.pilot.pause()
        await filtered(screen, "len>10")
        await screen.until(lambda: len(shown_ids(screen)) == 60_000)
        await screen.until(lambda: screen.main.frames.selected_position() == 49_999)


# -- rows


def filtered_view(*shown: int) -> View:
    view = View(index_of(0, 1, 2, 9, 10, 20), None, 5 * SECOND, is_filtered=True)
    view.add_matches([position + 1 for position in shown], 6)
    return view


@pytest.mark.parametrize("before", [(), (0,), (1, 3), (0, 1, 2, 3, 4, 5), (5,)])
def test_rows_judged_again_are_those_of_a_view_that_knew_it_at_once(before):
    for after in itertools.chain.from_iterable(itertools.combinations(range(6), n) for n in range(7)):
        view, wanted = filtered_view(*before), filtered_view(*after)
        assert view.judge_again({position: position in after for position in range(6)})
        assert rows(view) == rows(wanted)
        assert (len(view.gaps), view.matched) == (len(wanted.gaps), wanted.matched)
        view.add_matches([], 6)
        assert rows(view) == rows(wanted)


def test_too_many_rows_are_not_made_again_in_the_event_loop():
    view = View(index_of(*range(30_000)), None, 5 * SECOND, is_filtered=True)
    view.add_matches(range(2, 30_001), 30_000)
    assert not view.judge_again({0: True})
    assert view.matched == 29_999
    assert view.judge_again({29_999: False})
    assert view.matched == 29_998
