"""Ordinary frames are printed from rows of SQL: the same characters as from objects, for any traffic."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import Script, index, random_script, text, write_journal
from wsinspect.capture.queries.plain_rows import OBJECT_COLUMNS
from wsinspect.capture.reader import Capture
from wsinspect.cli.filtered import _lines
from wsinspect.present.clock import Clock
from wsinspect.present.frame_table import FrameTable, Page
from wsinspect.present.objects import frame_object
from wsinspect.present.pages import page_of
from wsinspect.present.plain import LINE_COLUMNS, ObjectBlocks, line_block
from wsinspect.present.terminal import Palette, json_text

EVIL = "\x1b]0;owned\x07\x9b31m\u202e\x7f \U0001f600\u0301 日本 e\u0301"


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Random traffic of many kinds, and payloads that want care on a terminal."""
    folder = tmp_path_factory.mktemp("plain")
    paths = []
    for seed in range(4):
        path = folder / f"{seed}.db"
        write_journal(path, random_script(seed, chunks=200))
        index(path)
        paths.append(path)
    script = Script()
    rng = random.Random(1)
    script.open(1)
    script.open(2)
    payloads = [
        b"",
        b" ",
        b"tab\t",
        b"ends in blanks   ",
        EVIL.encode(),
        b"\xff\xfe",
        b"a" * 511 + "é".encode(),
    ]
    payloads += [b"x" * size for size in (1, 99, 100, 101, 106, 107, 108, 109, 512, 513, 4000)]
    payloads += ["é".encode() * size for size in (50, 107, 108, 300)] + [
        "日".encode() * 60,
        rng.randbytes(40),
    ]
    for payload in payloads:
        for opcode in (1, 2):
            script.data(rng.choice((1, 2)), 0, text(payload, opcode=opcode))
            script.now += rng.choice((0, 999_999, 2_000_000_000))
            script.data(
                1, 1, text(payload, opcode=opcode, masked=False), sent_after_ns=rng.choice((0, 5_000_000))
            )
    script.end(1)
    path = folder / "care.db"
    write_journal(path, script.stop())
    index(path)
    return [*paths, path]


def _rows(capture: Capture, columns: tuple[str, ...], *, odd: bool) -> list[tuple[Any, ...]]:
    wanted = [*columns[:4], "0", *columns[5:]] if odd else columns
    return capture.query(f"SELECT id, {', '.join(wanted)} FROM frame ORDER BY id")


def _pages(capture: Capture, rows: list[tuple[Any, ...]]) -> Iterator[Page]:
    ids = [row[0] for row in rows if not row[5]]
    for at in range(0, len(ids), 100):
        yield page_of(capture, ids[at : at + 100], with_payload=False)


@pytest.mark.parametrize("width", [60, pytest.param(80, marks=pytest.mark.slow), 160])
@pytest.mark.parametrize("is_coloured", [False, True])
@pytest.mark.parametrize(
    ("prefix", "kind"), [("", "relative"), ("%5d  ", "relative"), ("", "utc"), ("", "delta")]
)
def test_lines_are_those_of_the_table(
    captures: list[Path], width: int, is_coloured: bool, prefix: str, kind: str
) -> None:
    palette, clock = Palette(is_coloured), Clock(kind)
    plain = 0
    for path in captures:
        with Capture.open(path) as capture:
            texts = []
            for odd in (False, True):
                rows = _rows(capture, LINE_COLUMNS, odd=odd)
                plain += sum(bool(row[5]) for row in rows)
                tables = {
                    one.id: FrameTable(one, width, palette, clock=clock) for one in capture.connections()
                }
                lines = {
                    f.id: partial(_lines, f, page) for page in _pages(capture, rows) for f in page.frames
                }
                texts.append(line_block(rows, tables.__getitem__, lines, palette, with_connection=prefix))
            assert texts[0] == texts[1]
            assert texts[0].count("\n") == len(rows)
    assert plain > 100


def test_objects_are_those_of_frame_object(captures: list[Path]) -> None:
    for path in captures:
        with Capture.open(path) as capture:
            texts = []
            for odd in (False, True):
                rows = _rows(capture, OBJECT_COLUMNS, odd=odd)
                known = {
                    frame.id: json_text(
                        {
                            "connection": frame.connection_id,
                            **frame_object(frame, page.pings.get(frame.id), False),
                        }
                    )
                    for page in _pages(capture, rows)
                    for frame in page.frames
                }
                assert odd or len(known) < len(rows)
                texts.append(ObjectBlocks().texts(rows, known))
            assert texts[0] == texts[1]
            assert json.loads(texts[0][0])["id"] == 1


@pytest.mark.parametrize(
    "change",
    ["wire_length = '\x1b[31m'", "time_ns = 'x'", "message_id = '1, \"evil\": 2'", "header = 'text'"],
)
def test_text_in_place_of_numbers_is_not_printed(captures: list[Path], tmp_path: Path, change: str) -> None:
    path = tmp_path / "evil.db"
    path.write_bytes(captures[-1].read_bytes())
    import sqlite3

    database = sqlite3.connect(path)
    database.execute(f"UPDATE frame SET {change} WHERE id = 3")
    database.commit()
    database.close()
    with Capture.open(path) as capture:
        rows = [row for row in _rows(capture, OBJECT_COLUMNS, odd=False) if row[0] == 3]
        with pytest.raises((ValueError, TypeError, AttributeError)):
            ObjectBlocks().texts(rows, {})


def test_the_event_of_a_follower_comes_first() -> None:
    row = (7, 1, 1, 0x8105, 50, 1, 20, 10, b"\x81\x05", 7, 7, None, None)
    (found,) = ObjectBlocks('"event": "frame", ').texts([row], {})
    content = json.loads(found)
    assert list(content)[:3] == ["event", "connection", "id"]
    assert (content["first_ns"], content["sent_ns"], content["op"]) == (30, 60, "TEXT")
    assert (content["length"], content["violations"]) == (5, [])
