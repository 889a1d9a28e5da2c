"""Real traffic through one tap of an engine, and exactly what is found in it.

`stretched` makes of a capture one whose clock ran slower: what took a second there takes `times` seconds. So
limits of minutes are met by real peers in a second.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from tests.support.engine import Engine
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.findings.model import Finding
from wsinspect.vocabulary import EventKind

LOOPBACK = "127.0.0.1"
#: What takes a URL without its path and talks to the application.
Talk = Callable[[str], Awaitable[Any]]
#: Later than this is a point in time, earlier is a duration.
_POINT_NS = 10**17
#: For so long a play is repeated; the last one has to fit into the limit of a test, too.
_TRYING_SECONDS = 40.0


def in_time(folder: Path, play: Callable[[Path], Path]) -> Path:
    """The capture of a play in which the engine was never late; after `_TRYING_SECONDS` any.

    What a starved engine saw late it blames on nobody, so a test of a wait needs one that was not starved.

    Args:
        play: takes a folder of its own, and returns its capture.
    """
    begun = time.monotonic()
    for number in itertools.count():
        capture = play(folder / f"try-{number}")
        with Capture.open(capture) as opened:
            was_late = opened.query("SELECT 1 FROM event WHERE kind = ? LIMIT 1", (EventKind.LAG.value,))
        if not was_late or time.monotonic() - begun > _TRYING_SECONDS:
            break
    return capture


async def record_port(folder: Path, port: int, talk: Talk, *options: str) -> Path:
    """Talk to what listens on a port of 127.0.0.1, through the tap `main`; returns the capture."""
    engine = await asyncio.to_thread(
        lambda: Engine.start(
            "--tap", f"main={LOOPBACK}:0=http://{LOOPBACK}:{port}", *options, folder=folder / "engine"
        )
    )
    try:
        await talk(f"ws://{LOOPBACK}:{engine.port('main')}")
    finally:
        await asyncio.to_thread(engine.stop)
    return engine.capture


async def record(
    folder: Path,
    handler: Callable[[ServerConnection], Awaitable[None]],
    talk: Talk,
    *options: str,
    **serving: Any,
) -> Path:
    """The same with an application of the library `websockets`, which sends no pings of its own."""
    serving = {"ping_interval": None, **serving}
    async with serve(handler, LOOPBACK, 0, **serving) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        return await record_port(folder, port, talk, *options)


def found_in(capture: Path) -> list[Finding]:
    """What `wsinspect diagnose` finds."""
    with Capture.open(capture) as opened:
        return diagnose(opened.query)


def by_path(capture: Path) -> dict[str, list[str]]:
    """Finding ids by the path of their connection, without the query; those of no connection under ""."""
    with Capture.open(capture) as opened:
        paths = {one.id: (one.path or "").partition("?")[0] for one in opened.connections()}
    seen: dict[str, list[str]] = {path: [] for path in paths.values()}
    for one in found_in(capture):
        place = "" if one.connection is None else paths[one.connection]
        seen.setdefault(place, []).append(one.id)
    return {path: sorted(ids) for path, ids in seen.items()}


def stretched(capture: Path, times: float) -> Path:
    """A copy of a capture in which all took `times` as long."""
    copy = capture.with_name(f"{capture.stem}-stretched.db")
    shutil.copyfile(capture, copy)
    database = sqlite3.connect(copy)
    with database:
        (begin,) = database.execute("SELECT min(attempt_ns) FROM connection").fetchone()
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                if column.endswith("_ns"):
                    database.execute(
                        f"UPDATE {table} SET {column} = CASE WHEN {column} > {_POINT_NS}"
                        f" THEN {begin} + CAST(({column} - {begin}) * {times} AS INTEGER)"
                        f" ELSE CAST({column} * {times} AS INTEGER) END WHERE {column} IS NOT NULL"
                    )
    database.close()
    return copy


def factor_for(capture: Path, path: str, seconds: float) -> float:
    """What to stretch by so that the silence before the end of the connection at `path` is so long.

    However late a loaded machine was, the one that matters then fits.
    """
    with Capture.open(capture) as opened:
        reader = FactReader(opened.query)
        for one in opened.connections():
            facts = reader.connection(one.id)
            if facts is not None and (one.path or "").partition("?")[0] == path and facts.silence_ns():
                return seconds * 1e9 / (facts.silence_ns() or 1)
    raise AssertionError(f"no silence at {path}")
