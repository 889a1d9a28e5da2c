"""Parts of the timeline for tests of single modules: indexes and views without a capture, bytes, rows."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any, Final

from wsinspect.capture.columns import Columns
from wsinspect.present.rows import Row
from wsinspect.tui.index import FrameIndex
from wsinspect.tui.source import Source
from wsinspect.tui.views import View
from wsinspect.wire.opcodes import Direction

SECOND: Final = 10**9


def columns(*frames: tuple[int, int, int, int, int, int]) -> Columns:
    parts = list(zip(*frames, strict=True)) if frames else [()] * 6
    return Columns(*(array(kind, part) for kind, part in zip("QqIIHB", parts, strict=True)))


def read_all(path: Path, page: int = 1000) -> FrameIndex:
    index, source, last = FrameIndex(), Source(path), 0
    while (read := source.columns(last, page)) is not None:
        last = read[0]
        index.append(read[1])
    source.close()
    return index


def index_of(*times_s: float, connections: list[int] | None = None) -> FrameIndex:
    index = FrameIndex()
    of = connections or [1] * len(times_s)
    index.append(
        columns(
            *(
                (number, int(t * SECOND), 1, of[number - 1], 0x8101, number & 1)
                for number, t in enumerate(times_s, 1)
            )
        )
    )
    return index


def rows(view: View) -> list[int | str]:
    return ["gap" if view.is_gap(y) else view.position(y) for y in range(len(view.rows))]


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)
        self.read_bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        piece = self.data[offset : offset + size]
        self.read_bytes += len(piece)
        return piece


def row(opcode: int = 1, direction: Direction = Direction.CLIENT_TO_SERVER, **changes: Any) -> Row:
    return Row(98190, 3, 12_001_000_000, 1_200_000, direction, 0x8000 | opcode << 8, 142)._replace(**changes)
