"""Pictures of every state of the timeline, at any size and in both themes, for people to look at:

`python -m tests.support.tui_states --out DIR --size 200x50 --theme light --only main`; each option may be
repeated, and is all there is where it is left out. Each picture is an SVG; with `--png` Chromium (`CHROMIUM`
names another) makes a PNG next to it. `tests/unit/tui/test_pages.py` sees that no page and no dialog is left
out of the table.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.control_lab import ControlLab, control_lab
from tests.support.tui_captures import (
    CaptureBuilder,
    at,
    chat_frames,
    deployed,
    hold_engine_lock,
    many_frames,
)
from tests.support.tui_pages import engine_at_work, make_capture, settled
from tests.support.tui_pilot import Screen, filtered, opened

SIZES: Final = ("80x24", "120x40", "200x50")
THEMES: Final = ("dark", "light")
#: What begins so is typed, all else is the name of a key.
TYPED: Final = "type "
_PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (640).to_bytes(4) + (480).to_bytes(4) + b"\x08\x06\0\0\0"
_ORDER: Final = {
    "type": "order",
    "id": 98190,
    "at": 1764438590123,
    "customer": {"name": "Zoë Müller", "address": {"street": "Hauptstraße 5", "city": "Köln"}, "vip": True},
    "lines": [{"sku": f"A-{number}", "count": number, "price": 1.5 * number} for number in range(1, 9)],
    "note": "Please ring twice. " * 12,
    "coupon": None,
}

#: How connections 2 to 6 of `rich_capture` ended.
_ENDS: Final[list[dict[str, Any]]] = [
    {"ended_by": "server", "how": "fin", "js_code": 1006, "js_was_clean": 0},
    {"ended_by": "client", "how": "rst", "js_code": 1006, "js_was_clean": 0},
    {"state": "lost"},
    {
        "ended_by": "client",
        "how": "close-frame",
        "js_code": 4401,
        "js_was_clean": 1,
        "client_close_code": 4401,
        "client_close_reason": "token expired; sign in again",
        "server_close_code": 4401,
    },
    {
        "state": "failed",
        "error": "cannot connect to localhost:8765: connection refused",
        "status": None,
        "open_ns": None,
        "ended_by": "proxy",
        "how": "upstream",
        "js_code": 1006,
        "js_was_clean": 0,
    },
]


class State(NamedTuple):
    """One picture.

    Attributes:
        keys: pressed on the main page; see `TYPED`.
        capture: a name of `CAPTURES`.
        shows: the class of the page or dialog that is on top then.
        connection: chosen before.
        then: what keys cannot do, or what has to be waited for.
        has_rows: the page that is reached will have rows, which are waited for.
    """

    keys: tuple[str, ...] = ()
    capture: str = "rich"
    shows: str = "MainScreen"
    connection: int | None = None
    then: Callable[[Screen], Awaitable[None]] | None = None
    has_rows: bool = True


def _payloads() -> list[tuple[int, bytes, bool]]:
    """Opcode, payload and whether it is the server's: each kind that the inspector knows."""
    order = json.dumps(_ORDER, ensure_ascii=False).encode()
    return [
        (1, order, True),
        (1, order.replace(b"98190", b"98191").replace(b'"vip": true', b'"vip": false'), True),
        (1, b'<?xml version="1.0"?><order id="5"><line sku="A-1">two</line><!-- soon --></order>', False),
        (2, _PNG + bytes(60), True),
        (2, gzip.compress(order, mtime=0), True),
        (2, bytes(range(256)) * 3, False),
        (1, "naïve café 東京 \u202eevil \x1b[31mred".encode(), False),
        (1, ("a long line of text without any structure. " * 60).encode(), True),
    ]


def rich_capture(path: Path, *, clean: bool = True) -> Path:
    """A kind of payload a frame, a kind of end a connection, and what was asked for around them."""
    builder = CaptureBuilder(path)
    facts = {"method": "GET", "url": "http://localhost:8080/chat", "what": "page", "status": 200, "ms": 3}
    builder.event(-900, 1, "http", {"number": 1, **facts})
    token = {"method": "POST", "url": "http://localhost:8080/api/session/token", "status": 401, "ms": 12.5}
    builder.event(-300, 1, "http", {"number": 2, **token})
    builder.refused(1, 0, path="/admin?token=abcdef0123456789")
    builder.finding(
        "WS-HS-041",
        "error",
        1,
        None,
        title="The server requires authentication: it answered 403",
        meaning="The server refused the opening handshake; a browser reports only 1006 and no status.",
        fault_of="server",
        evidence=["HTTP/1.1 403 Forbidden", "no Authorization header, no cookie in the request"],
        fixes=[{"for": "the client", "text": "send the session's cookie or a token"}],
    )
    for number, end in enumerate(_ENDS, 2):
        closed = {"state": "closed", "closed_ns": at(number * 1_000 + 900), **end}
        if "status" not in end:
            closed |= {"s2c_frames": 1, "s2c_bytes": 200}
            builder.frame(number, number * 1_000 + 100, 2, b"\x00\x01\x02\xff\xfe" * 40, s2c=True)
        builder.connection(
            number, number * 1_000, path=f"/feed/{number}?since=2026-01-01T00:00:00Z", **closed
        )
        answer: dict[str, Any] = {"response_in": None, "response_out": None} if "status" in end else {}
        builder.handshake(number, number * 1_000, **answer)
    is_open = {} if clean is False else deployed(30_000)
    builder.connection(
        7,
        10_000,
        subprotocol="chat.v2",
        extensions="permessage-deflate; server_max_window_bits=12",
        c2s_frames=12,
        s2c_frames=14,
        c2s_bytes=4711,
        s2c_bytes=81234,
        **is_open,
    )
    builder.handshake(7, 10_000)
    for number, (opcode, payload, s2c) in enumerate(_payloads()):
        builder.frame(7, 10_100 + number * 37, opcode, payload, s2c=s2c)
    chat_frames(builder, 7, 12_000)
    builder.close(clean=clean)
    return path


def storm_capture(path: Path) -> Path:
    """Clients that try again and again."""
    with CaptureBuilder(path) as builder:
        for number in range(1, 24):
            builder.refused(number, number * 20_000, status=502, client=f"10.0.0.8:{40000 + number}")
        for number in range(24, 60):
            end = {"state": "closed", "js_code": 1006, "js_was_clean": 0, "ended_by": "server", "how": "fin"}
            begin = (number - 24) * 15_000
            builder.connection(
                number, begin, client=f"10.0.0.7:{number}", closed_ns=at(begin + 14_000), path="/feed", **end
            )
    return path


def empty_capture(path: Path, *, clean: bool = True) -> Path:
    """Nothing has connected."""
    CaptureBuilder(path).close(clean=clean)
    return path


def demo_capture(path: Path) -> Path:
    """The demo's clients through a real proxy."""
    command = ["demo", "--headless", "--seconds", "3", "--capture", str(path)]
    subprocess.run([sys.executable, "-m", "wsinspect", *command], check=True, stdout=subprocess.DEVNULL)
    return path


def open_capture(path: Path) -> Path:
    """An open connection among those of `rich_capture`, as long as its proxy runs."""
    return rich_capture(path, clean=False)


CAPTURES: Final[dict[str, Callable[[Path], Path]]] = {
    "rich": rich_capture,
    "demo": demo_capture,
    "hop": make_capture,
    "storm": storm_capture,
    "long": partial(many_frames, count=100_000),
    "empty": empty_capture,
    "open": open_capture,
    "waiting": partial(empty_capture, clean=False),
    "held": open_capture,
    "cut": partial(rich_capture, clean=False),
    "ruled": partial(make_capture, is_live=True),
}


@contextmanager
def _open_engine(capture: Path) -> Iterator[ControlLab]:
    """What writes the capture, without rules."""
    lock = hold_engine_lock(capture)
    with control_lab(capture) as lab:
        lab.engine.open = {7}
        yield lab
    lock.release()


@contextmanager
def _holding_engine(capture: Path) -> Iterator[ControlLab]:
    """What writes the capture, with a rule that holds frames of two connections."""
    with _open_engine(capture) as lab:
        lab.arm(name="slow", kind="latency", direction="s2c", latency="5s")
        lab.engine.held_count = 2
        yield lab


#: What runs beside a capture, by its name.
ENGINES: Final[dict[str, Callable[[Path], Any]]] = {
    "open": _open_engine,
    "waiting": _open_engine,
    "held": _holding_engine,
    "ruled": engine_at_work,
}


async def _gone(screen: Screen) -> None:
    screen.model.was_live = True
    await screen.until(lambda: "The proxy has exited" in screen.line("banner"))


async def _examined(screen: Screen) -> None:
    top: Any = screen.app.screen
    await screen.until(lambda: top.pane.found is not None)


async def _filtered_text(screen: Screen) -> None:
    await filtered(screen, "op:text")


async def _found(screen: Screen) -> None:
    await screen.until(lambda: screen.main.search.is_whole)


#: Lead to the first frame.
_FIRST: Final = ("3", "g")
_BUSY: Final[dict[str, State]] = {
    "main": State(("3",), "demo"),
    "main-connections": State(("1", "down"), "demo"),
    "main-overview": State(("2", "plus"), "demo"),
    "main-long": State(("3", "end"), "long"),
    "main-live": State(("3", "end"), "open"),
    "main-all": State(("1", "g")),
    "main-refused": State(("1",), connection=1),
    "main-fin": State(("1",), connection=2),
    "main-failed": State(("1",), connection=6),
    "main-requests-hidden": State(("H",)),
    "main-paused": State((*_FIRST, "space")),
    "main-hop": State(("3", "g", "down"), "hop", connection=2),
    "clock-delta": State((*_FIRST, "c"), connection=7),
    "clock-local": State((*_FIRST, "c", "c"), connection=7),
    "clock-utc": State((*_FIRST, "c", "c", "c"), connection=7),
    "inspector-json": State((*_FIRST, "4"), connection=7),
    "inspector-json-large": State((*_FIRST, "4", "backslash"), connection=7),
    "inspector-text": State((*_FIRST, "4", "v", "v", "backslash"), connection=7),
    "inspector-json-hex": State((*_FIRST, "4", "v", "backslash"), connection=7),
    "inspector-xml": State((*_FIRST, "down", "down", "4"), connection=7),
    "inspector-image": State((*_FIRST, *["down"] * 3, "4"), connection=7),
    "inspector-gzip": State((*_FIRST, *["down"] * 4, "4"), connection=7),
    "inspector-hex": State((*_FIRST, *["down"] * 5, "4", "backslash"), connection=7),
    "inspector-hostile": State((*_FIRST, *["down"] * 6, "4"), connection=7),
    "inspector-long": State((*_FIRST, *["down"] * 7, "4"), connection=7),
    "inspector-header": State((*_FIRST, "4", "right"), connection=7),
    "inspector-close": State(("3", "G", "4"), connection=7),
    "inspector-diff": State((*_FIRST, "down", "D"), connection=7),
    "inspector-diff-large": State((*_FIRST, "down", "D", "4", "backslash"), connection=7),
    "inspector-find": State((*_FIRST, "4", "ctrl+f", f"{TYPED}sku", "enter"), connection=7),
    "handshake": State(("h",), shows="HandshakeScreen", connection=7),
    "handshake-refused": State(("h",), shows="HandshakeScreen", connection=1),
    "handshake-differences": State(("h", "d"), shows="HandshakeScreen", connection=7),
    "handshake-demo": State(("h",), "demo", "HandshakeScreen", connection=3),
    "sandwich": State(("W",), "hop", "SandwichScreen", 2),
    "sandwich-differences": State(("W", "d"), "hop", "SandwichScreen", 2),
    "sandwich-none": State(("W",), "rich", "SandwichScreen", 7, has_rows=False),
    "findings": State(("i",), "demo", "FindingsScreen"),
    "findings-frame": State(("i", "down"), "rich", "FindingsScreen"),
    "findings-configuration": State(("i", "r"), "demo", "ConfigurationDialog"),
    "statistics": State(("S",), "demo", "StatisticsScreen"),
    "statistics-one": State(("S",), "rich", "StatisticsScreen", 7),
    "statistics-long": State(("S",), "long", "StatisticsScreen"),
    "timeline": State(("t",), shows="TimelineScreen"),
    "timeline-story": State(("t", "end", "space"), "hop", "TimelineScreen"),
    "timeline-storm": State(("t",), "storm", "TimelineScreen"),
    "timeline-storm-story": State(("t", "space"), "storm", "TimelineScreen"),
    "filter": State(("slash",)),
    "filter-typed": State(("slash", f"{TYPED}op:text body:order"), connection=7),
    "filter-wrong": State(("slash", f"{TYPED}op:nonsense"), connection=7),
    "filter-on": State(connection=7, then=_filtered_text),
    "filter-saved": State(("slash", f"{TYPED}op:text", "ctrl+s", "backspace", "up")),
    "find": State(("ctrl+f", f"{TYPED}order", "enter"), connection=7, then=_found),
    "find-open": State(("ctrl+f",), connection=7),
    "go": State(("colon",)),
    "go-wrong": State(("colon", f"{TYPED}99999999", "enter")),
    "columns": State(("3", "L"), shows="ColumnsDialog"),
    "copy-as": State(("ctrl+y",), shows="Question", connection=7),
    "export": State(("e",), shows="ExportDialog", connection=7),
    "help": State(("3", "question_mark"), shows="HelpScreen"),
    "help-inspector": State(("4", "question_mark"), shows="HelpScreen", connection=7),
    "help-faults": State(("f", "question_mark"), "ruled", "HelpScreen"),
    "palette": State(("ctrl+p",), shows="PaletteScreen"),
    "palette-typed": State(("ctrl+p", f"{TYPED}fault"), shows="PaletteScreen"),
    "jump": State(("3", "g", "ctrl+o"), shows="JumpScreen"),
    "playback": State(("3", "g", "s", "greater_than_sign", "m", "greater_than_sign", "m", "full_stop")),
    "faults": State(("f",), "ruled", "FaultsScreen"),
    "faults-none": State(("f",), "open", "FaultsScreen", has_rows=False),
    "faults-no-engine": State(("f",), shows="FaultsScreen", has_rows=False),
    "faults-add": State(("f", "a"), "ruled", "RuleDialog"),
    "faults-add-typed": State(("f", "a", f"{TYPED}latency,ms=2"), "ruled", "RuleDialog"),
    "faults-preset": State(("f", "a", f"{TYPED}like "), "ruled", "RuleDialog"),
    "faults-change": State(("f", "enter"), "ruled", "RuleDialog"),
    "intercept": State(("B",), "ruled", "InterceptScreen"),
    "intercept-handshake": State(("B", "down", "down"), "ruled", "InterceptScreen"),
    "intercept-none": State(("B",), "open", "InterceptScreen", has_rows=False),
    "intercept-add": State(("B", "a"), "ruled", "RuleDialog"),
    "intercept-edit": State(("B", "e"), "ruled", "HeldDialog"),
    "intercept-answer": State(("B", "r"), "ruled", "HeldDialog"),
    "connect": State(("C",), shows="ConnectDialog", connection=7),
    "inject": State(("x",), "open", "InjectDialog", 7),
    "end": State(("X",), "open", "EndDialog", 7),
    "end-asked": State(("X", "enter"), "open", "Question", 7),
    "quit-held": State(("q",), "held", "Question", 7),
    "doctor": State(("P",), shows="DoctorScreen", connection=7, then=_examined),
    "empty": State((), "empty"),
    "empty-live": State((), "waiting"),
    "gone": State(("3", "g"), "cut", then=_gone),
}
#: Pages of a capture with nothing in it.
_EMPTY: Final = {
    f"empty-{page}": State((key,), "empty", f"{page.capitalize()}Screen", has_rows=False)
    for key, page in {
        "h": "handshake",
        "t": "timeline",
        "i": "findings",
        "f": "faults",
        "B": "intercept",
        "S": "statistics",
        "W": "sandwich",
    }.items()
}
STATES: Final[dict[str, State]] = {**_BUSY, **_EMPTY}


class Scene:
    """Captures that states share, made once, and engines beside copies of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}

    def capture(self, name: str) -> Path:
        """The capture of that name; an engine has one of its own each time."""
        path = self._made.get(name)
        if path is None or name in ENGINES:
            part = Path(tempfile.mkdtemp(dir=self._folder))
            path = self._made[name] = CAPTURES[name](part / f"{name}.db")
        return path

    async def draw(self, name: str, size: tuple[int, int], themes: Sequence[str]) -> dict[str, str]:
        """One state in each theme, as SVGs; each is reached in its theme, as users reach it."""
        state, shown = STATES[name], {}
        for theme in themes:
            capture = self.capture(state.capture)
            with ENGINES.get(state.capture, lambda _path: nullcontext())(capture):
                async with opened(capture, size=size) as screen:
                    screen.app.theme = f"textual-{theme}"
                    await reach(screen, state)
                    title = f"{name} {size[0]}x{size[1]} {theme}"
                    shown[theme] = screen.app.export_screenshot(title=title)
        return shown


async def reach(screen: Screen, state: State) -> None:
    """Press its keys and wait for what they show.

    Raises:
        AssertionError: something else is on top then.
    """
    if state.connection is not None:
        screen.main.show_connection(state.connection)
        await screen.until(lambda: screen.selection.connection == state.connection)
    for key in state.keys:
        if key.startswith(TYPED):
            await screen.type(key.removeprefix(TYPED))
        else:
            await screen.press(key)
        if state.has_rows:
            await settled(screen)
    if state.then is not None:
        await state.then(screen)
    await screen.until(lambda: type(screen.app.screen).__name__ == state.shows)
    await screen.press()


def png(svg: Path) -> None:
    """A PNG next to an SVG, as wide as it."""
    found = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg.read_text("utf-8"))
    assert found is not None, f"{svg} is not a picture of Textual's"
    width, height = (round(float(part)) for part in found.groups())
    command = [os.environ.get("CHROMIUM", "/usr/bin/chromium"), "--headless=new", "--no-sandbox"]
    command += [f"--window-size={width},{height}", f"--screenshot={svg.with_suffix('.png')}"]
    subprocess.run([*command, "--hide-scrollbars", svg.as_uri()], check=True, capture_output=True)


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.tui_states", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", action="append", choices=SIZES)
    parser.add_argument("--theme", action="append", choices=THEMES)
    parser.add_argument("--only", action="append", choices=tuple(STATES), metavar="STATE")
    parser.add_argument("--png", action="store_true")
    asked = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        scene = Scene(Path(scratch))
        for name in asked.only or STATES:
            for size in asked.size or SIZES:
                width, height = map(int, size.split("x"))
                for theme in asked.theme or THEMES:
                    # Each has settings of its own: a clock or a filter of the picture before is remembered.
                    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
                        os.environ[variable] = tempfile.mkdtemp(dir=scratch)
                    try:
                        drawn = asyncio.run(scene.draw(name, (width, height), [theme]))
                    except TimeoutError:
                        print(f"{name} at {size} never showed {STATES[name].shows}", file=sys.stderr)
                        continue
                    target = asked.out / f"{name}-{size}-{theme}.svg"
                    target.write_text(drawn[theme], "utf-8")
                    if asked.png:
                        png(target)


if __name__ == "__main__":
    main()
