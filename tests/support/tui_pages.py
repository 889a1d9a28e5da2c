"""Pictures of each page of the timeline for the docs: `python -m tests.support.tui_pages` writes them.

The capture is made here: a picture changes only where a page does, and `tests/unit/tui/test_pages.py` sees
by its text what has drifted.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Final
from unittest import mock

from tests.support.control_lab import control_lab
from tests.support.svg import portable, text_of
from tests.support.tui_captures import SAMPLE_KEY, CaptureBuilder, chat_frames, deployed, hold_engine_lock
from tests.support.tui_pilot import Screen, opened
from wsinspect.faults.held import Held
from wsinspect.tui.screens import faults, intercept
from wsinspect.tui.widgets.base import LinePane

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
SIZE: Final = (120, 36)
#: By name: what is pressed on the main page, with frame 2 of the hop's edge chosen.
PAGES: Final = {
    "main": ("3",),
    "inspector": ("4", "backslash"),
    "handshake": ("h",),
    "timeline": ("t",),
    "story": ("t", "end", "space"),
    "findings": ("i",),
    "faults": ("f",),
    "intercept": ("B",),
    "statistics": ("S",),
    "sandwich": ("W",),
    "playback": ("s", "greater_than_sign", "m", "greater_than_sign", "m", "full_stop"),
    "columns": ("3", "L"),
    "help": ("3", "question_mark"),
}
#: Drawn with a proxy: rules, and what its breakpoints hold.
LIVE: Final = frozenset({"faults", "intercept"})
_SECOND_NS: Final = 10**9
#: A clock for the intercept page, whose pictures are to be the same each time.
_STOPPED: Final = SimpleNamespace(monotonic_ns=lambda: 0)


def make_capture(path: Path, *, is_live: bool = False) -> Path:
    """A chat before and behind a hop that loses a message, a refused attempt, and an end without CLOSE."""
    builder = CaptureBuilder(path)
    try:
        builder.taps("edge", "origin")
        builder.refused(1, 0, path="/admin", tap="edge")
        # Another client's: attempts on two sides of a hop are joined by their key.
        for column in ("request_in", "request_out"):
            builder.database.execute(
                f"UPDATE handshake SET {column} = CAST(replace(CAST({column} AS TEXT), ?, ?) AS BLOB)",
                (SAMPLE_KEY.decode(), "AQIDBAUGBwgJCgsMDQ4PEA=="),
            )
        for number, tap in ((2, "edge"), (3, "origin")):
            builder.connection(
                number,
                10_000 + number,
                tap=tap,
                subprotocol="chat.v2",
                **({} if is_live else deployed(15_000)),
            )
            builder.handshake(number, 10_000 + number)
        payload = (
            b'{"type":"order","id":%d,"at":1764438590123,"lines":[{"sku":"A-1","count":2}],"paid":false}'
        )
        for number in range(40):
            sent = 11_000 + number * number * 1.5
            builder.frame(2, sent, 1, payload % number)
            if number != 17:
                builder.frame(3, sent + 1.2, 1, payload % number)
        chat_frames(builder, 2, 13_600)
    finally:
        builder.close(clean=not is_live)
    return path


@contextmanager
def engine_at_work(capture: Path) -> Iterator[None]:
    """What writes the capture: three rules, and two messages and a handshake that are held, since 4 s."""
    lock = hold_engine_lock(capture)
    order = b'{"type":"order","id":40,"at":1764438590123,"lines":[{"sku":"A-1","count":2}],"paid":false}'
    with (
        control_lab(capture) as lab,
        mock.patch.object(intercept, "time", _STOPPED),
        mock.patch.object(faults, "ago", return_value="1.0 s"),
    ):
        lab.arm(name="slow", kind="latency", direction="c2s", latency="250ms", jitter="50ms", match="op:text")
        lab.arm(kind="close", code=1012, when={"after": "100frames"}, armed=False)
        lab.arm(name="orders", kind="break", match="json:$.type=order")
        for name, number, what, data, opcode in (
            ("m2-c2s-41", 2, "message", order, 1),
            ("m3-c2s-40", 3, "message", order.replace(b"40", b"39"), 1),
            ("h4-request", 4, "request", b"GET /chat?room=2 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n", None),
        ):
            lab.engine.waiting[name] = Held(
                name=name,
                rule="orders",
                connection=number,
                what=what,
                direction="c2s",
                since_ns=_SECOND_NS,
                until_ns=9 * _SECOND_NS if number == 3 else None,
                opcode=opcode,
                data=data,
                client_heard_ns=3 * _SECOND_NS,
                behind=2 if number == 2 else 0,
            )
        yield
    lock.release()


def _has_rows(pane: LinePane) -> bool:
    return pane.row_count() > 0


async def settled(screen: Screen) -> None:
    """What threads are asked for has come."""
    page = screen.app.page
    for name in ("statistics", "sandwich"):
        pane = getattr(page, name, None)
        if pane is not None:
            await screen.until(partial(_has_rows, pane))
    if page.page in LIVE:
        view = screen.app.workspace
        await screen.until(lambda: len(view.engine_view.rules) == 3 and view.engine_view.waiting == 3)
        await screen.until(partial(_has_rows, page.pane))


def lines_of(name: str, svg: str) -> list[str]:
    """A picture's text; without the header line where a proxy runs, whose rate and lag it has."""
    return text_of(svg)[1 if name in LIVE else 0 :]


async def draw(name: str, folder: Path) -> str:
    """One page as an SVG."""
    is_live = name in LIVE
    capture = make_capture(folder / f"{name if is_live else 'chat'}.db", is_live=is_live)
    with engine_at_work(capture) if is_live else nullcontext():
        return await _draw(capture, PAGES[name])


async def _draw(capture: Path, keys: tuple[str, ...]) -> str:
    async with opened(capture, size=SIZE) as screen:
        screen.main.show_connection(2)
        await screen.until(lambda: screen.selection.connection == 2)
        await screen.press("3", "g", "down")
        await screen.press(*keys)
        await settled(screen)
        return portable(screen.app.export_screenshot(title="wsinspect"))


def main(folder: Path) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
            os.environ[name] = scratch
        os.environ["TZ"] = "UTC"
        time.tzset()
        for name in PAGES:
            part = Path(scratch) / name
            part.mkdir()
            (folder / f"{name}.svg").write_text(asyncio.run(draw(name, part)), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
