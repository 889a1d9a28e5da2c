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
from functools import partial
from pathlib import Path
from typing import Final

from tests.support.svg import portable
from tests.support.tui_captures import SAMPLE_KEY, CaptureBuilder, chat_frames, deployed
from tests.support.tui_pilot import Screen, opened
from wsinspect.tui.widgets.base import LinePane

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
SIZE: Final = (120, 36)
#: By name: what is pressed on the main page, with frame 2 of the hop's edge chosen.
PAGES: Final = {
    "main": ("3",),
    "inspector": ("4", "backslash"),
    "handshake": ("h",),
    "timeline": ("t",),
    "findings": ("i",),
    "faults": ("f",),
    "statistics": ("S",),
    "sandwich": ("W",),
    "columns": ("3", "L"),
    "help": ("3", "question_mark"),
}


def make_capture(path: Path) -> Path:
    """A chat before and behind a hop that loses a message, a refused attempt, and an end without CLOSE."""
    with CaptureBuilder(path) as builder:
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
                **deployed(15_000),
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
    return path


def _has_rows(pane: LinePane) -> bool:
    return pane.row_count() > 0


async def settled(screen: Screen) -> None:
    """What threads are asked for has come."""
    page = screen.app.page
    for name in ("statistics", "sandwich"):
        pane = getattr(page, name, None)
        if pane is not None:
            await screen.until(partial(_has_rows, pane))


async def draw(capture: Path, keys: tuple[str, ...]) -> str:
    """One page as an SVG."""
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
        capture = make_capture(Path(scratch) / "chat.db")
        for name, keys in PAGES.items():
            (folder / f"{name}.svg").write_text(asyncio.run(draw(capture, keys)), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
