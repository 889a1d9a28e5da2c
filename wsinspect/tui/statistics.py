"""Numbers about a span of time: rates, sizes, opcodes, round trips, and the commonest messages by shape.

Contract: no widget, no clock. `count` takes columns that only grow, so a thread may run it while frames come;
of very many frames the shapes and round trips are those of the newest, and say so.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from wsinspect.present.cells import Line
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.rows import byte_count, duration
from wsinspect.text import counted, escape, grouped, pad, truncate
from wsinspect.tui.comparing import BINARY
from wsinspect.wire.opcodes import opcode_name

#: Stretches that the span is divided into for the plots.
BUCKETS: Final = 240
#: Of so many frames, the newest, the payload is looked at; and so many round trips are read.
MOST_SHAPES: Final = 4_000
MOST_ROUND_TRIPS: Final = 20_000
_SHAPES_SHOWN: Final = 12
_PLOT_ROWS: Final = 3
#: What stands before a plot, `max 19.5 KiB` at the longest.
_LABEL_CELLS: Final = 13
_SHARE_CELLS: Final = 20


@dataclass
class Side:
    """What was counted of one direction; lengths in bytes."""

    frames: int = 0
    bytes: int = 0
    opcodes: Counter[int] = field(default_factory=Counter)
    lengths: array[int] = field(default_factory=lambda: array("I"))
    frame_buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    byte_buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)


@dataclass
class Statistics:
    """What is known of a span.

    Attributes:
        from_ns, to_ns: the span.
        sides: from the client, and from the server.
        round_trips: when each PING was sent, and its round trip, in nanoseconds.
        shapes: frames and payload bytes by direction and shape.
        shaped: frames whose shape was asked.
    """

    from_ns: int
    to_ns: int
    sides: tuple[Side, Side] = field(default_factory=lambda: (Side(), Side()))
    round_trips: list[tuple[int, int]] = field(default_factory=list)
    shapes: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    shaped: int = 0

    @property
    def seconds(self) -> float:
        return max(self.to_ns - self.from_ns, 1) / 1e9

    def add_shape(self, is_s2c: int, shape: str, length: int) -> None:
        """Count a message of a shape, with its payload bytes."""
        known = self.shapes.setdefault((is_s2c, shape), [0, 0])
        known[0] += 1
        known[1] += length
        self.shaped += 1

    @property
    def data_frames(self) -> int:
        """Frames that begin a message."""
        return sum(side.opcodes[1] + side.opcodes[2] for side in self.sides)


def count(
    times_ns: Sequence[int],
    lengths: Sequence[int],
    bits: Sequence[int],
    flags: Sequence[int],
    positions: Sequence[int],
    span: tuple[int, int],
    is_stopped: Callable[[], bool] = lambda: False,
) -> Statistics:
    """Numbers of the frames at some positions, all of them in the span."""
    from_ns, to_ns = span
    found = Statistics(from_ns, to_ns)
    width = max(to_ns - from_ns, 1)
    for number, position in enumerate(positions):
        if not number & 0x3FFF and is_stopped():
            break
        side = found.sides[flags[position] & 1]
        length = lengths[position]
        side.frames += 1
        side.bytes += length
        side.opcodes[bits[position] >> 8 & 15] += 1
        side.lengths.append(length)
        at = (times_ns[position] - from_ns) * BUCKETS // width
        at = 0 if at < 0 else BUCKETS - 1 if at >= BUCKETS else at
        side.frame_buckets[at] += 1
        side.byte_buckets[at] += length
    return found


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 1_000 else grouped(round(value))


def percentiles(values: Sequence[int], *shares: int) -> list[int]:
    """The nearest ranks of some values, in percent; empty without any."""
    ordered = sorted(values)
    return (
        [ordered[min(max(-(-len(ordered) * share // 100) - 1, 0), len(ordered) - 1)] for share in shares]
        if ordered
        else []
    )


def plot(values: Sequence[int], width: int, glyphs: Glyphs, rows: int = _PLOT_ROWS) -> list[str]:
    """Values as bars, `rows` lines high, the highest line first; of several in a cell the greatest."""
    cells = [max(values[_cell(at, len(values), width)]) for at in range(width)]
    most, levels = max(cells, default=0), len(glyphs.bars) - 1
    heights = [-(-value * rows * levels // most) if most else 0 for value in cells]
    return [
        "".join(glyphs.bars[max(0, min(height - row * levels, levels))] for height in heights)
        for row in reversed(range(rows))
    ]


def _cell(at: int, count: int, width: int) -> slice:
    first = at * count // width
    return slice(first, max((at + 1) * count // width, first + 1))


def statistics_lines(one: Statistics, width: int, glyphs: Glyphs, *, is_span: bool = True) -> list[Line]:
    """The page: totals, plots, round trips, sizes, opcodes, shapes.

    Args:
        is_span: they are of a part of the time.
    """
    lines: list[Line] = []
    for name, style, side in zip(("c>s", "s>c"), ("c2s", "s2c"), one.sides, strict=True):
        rate, size = side.frames / one.seconds, byte_count(round(side.bytes / one.seconds))
        words = f"{counted(side.frames, 'frame')} ({_rate(rate)}/s), {byte_count(side.bytes)} ({size}/s)"
        lines.append([(f"{name}  ", style), (words, "")])
    if not any(side.frames for side in one.sides):
        return [*lines, [], [("No frames in this span." if is_span else "No frames.", "muted")]]
    if glyphs.is_plain:
        lines += _round_trip_lines(one, 10, glyphs)[:3]
        return [*lines, *_size_lines(one), *_opcode_lines(one, glyphs), *_shape_lines(one, width, glyphs)]
    cells = max(min(width - _LABEL_CELLS, BUCKETS), 10)
    bucket_s = one.seconds / min(cells, BUCKETS)
    for title, style, values in (
        ("c>s frames", "c2s", one.sides[0].frame_buckets),
        ("s>c frames", "s2c", one.sides[1].frame_buckets),
        ("c>s bytes", "c2s", one.sides[0].byte_buckets),
        ("s>c bytes", "s2c", one.sides[1].byte_buckets),
    ):
        lines += _plot_lines(title, style, _joined(values, cells), cells, glyphs, is_bytes="bytes" in title)
    lines.append([(" " * _LABEL_CELLS, ""), (f"each cell is {duration(round(bucket_s * 1e9))}", "muted")])
    lines += _round_trip_lines(one, cells, glyphs)
    lines += _size_lines(one)
    lines += _opcode_lines(one, glyphs)
    return [*lines, *_shape_lines(one, width, glyphs)]


def _joined(values: Sequence[int], cells: int) -> list[int]:
    """Sums, as many as there are cells."""
    if cells >= len(values):
        return list(values)
    found = [0] * cells
    for at, value in enumerate(values):
        found[at * cells // len(values)] += value
    return found


def _plot_lines(
    title: str, style: str, values: Sequence[int], cells: int, glyphs: Glyphs, *, is_bytes: bool = False
) -> list[Line]:
    most = max(values, default=0)
    top = byte_count(most) if is_bytes else grouped(most)
    labels = [title, f"max {top}", *[""] * _PLOT_ROWS]
    drawn = plot(values, min(cells, len(values)), glyphs)
    return [
        [],
        *(
            [(pad(label, _LABEL_CELLS), "muted"), (line, style)]
            for label, line in zip(labels, drawn, strict=False)
        ),
    ]


def _round_trip_lines(one: Statistics, cells: int, glyphs: Glyphs) -> list[Line]:
    times = [rtt for _, rtt in one.round_trips]
    if not times:
        return [[], [("Round trips", "title"), ("  none: no PING was answered in this span", "muted")]]
    least, median, most = percentiles(times, 0, 50, 100)
    late, later = percentiles(times, 95, 99)
    count = f"  {counted(len(times), 'PING')}"
    words = (
        f"  min {duration(least)}, median {duration(median)}, "
        f"p95 {duration(late)}, p99 {duration(later)}, max {duration(most)}"
    )
    buckets = [0] * min(cells, BUCKETS)
    width = max(one.to_ns - one.from_ns, 1)
    for time_ns, rtt_ns in one.round_trips:
        at = max(0, min((time_ns - one.from_ns) * len(buckets) // width, len(buckets) - 1))
        buckets[at] = max(buckets[at], rtt_ns)
    lines: list[Line] = [[], [("Round trips", "title"), (count, "")], [(words, "")]]
    labels = ["rtt", f"max {duration(most)}", ""]
    drawn = plot(buckets, len(buckets), glyphs)
    return lines + [
        [(pad(label, _LABEL_CELLS), "muted"), (line, "note")]
        for label, line in zip(labels, drawn, strict=True)
    ]


def _size_lines(one: Statistics) -> list[Line]:
    lines: list[Line] = [[], [("Payload sizes on the wire", "title")]]
    for name, style, side in zip(("c>s", "s>c"), ("c2s", "s2c"), one.sides, strict=True):
        if side.frames:
            least, median, late, most = (
                byte_count(size) for size in percentiles(side.lengths, 0, 50, 95, 100)
            )
            mean = byte_count(round(side.bytes / side.frames))
            words = f"min {least}, median {median}, mean {mean}, p95 {late}, max {most}"
            lines.append([(f"  {name}  ", style), (words, "")])
    return lines


def _opcode_lines(one: Statistics, glyphs: Glyphs) -> list[Line]:
    lines: list[Line] = [[], [("Opcodes", "title")]]
    total = max(sum(side.frames for side in one.sides), 1)
    for opcode in sorted({opcode for side in one.sides for opcode in side.opcodes}):
        both = [side.opcodes[opcode] for side in one.sides]
        bar = glyphs.heavy * max(round(sum(both) * _SHARE_CELLS / total), 1)
        words = f"{pad(grouped(both[0]), 11, right=True)} c>s {pad(grouped(both[1]), 11, right=True)} s>c  "
        lines.append(
            [
                (f"  {pad(opcode_name(opcode), 7)}", "control" if opcode >= 8 else ""),
                (words, ""),
                (bar, "muted"),
            ]
        )
    return lines


def grouped_shapes(shapes: Mapping[tuple[int, str], Sequence[int]]) -> dict[tuple[int, str], list[int]]:
    """Shapes, with binary messages that begin like no other joined by size: random bytes have no shape.

    How one begins stays where several do, as types of messages do, and where it is alone of its size.
    """
    found = {key: list(counts) for key, counts in shapes.items()}
    singles: dict[tuple[int, str], list[tuple[int, str]]] = {}
    for (is_s2c, shape), (frames, size) in shapes.items():
        if frames == 1 and shape.startswith(BINARY):
            singles.setdefault((is_s2c, _size_class(size)), []).append((is_s2c, shape))
    for (is_s2c, words), keys in singles.items():
        if len(keys) > 1:
            found[(is_s2c, f"{BINARY}{words}")] = [len(keys), sum(found.pop(key)[1] for key in keys)]
    return found


def _size_class(size: int) -> str:
    """Below which power of four it is, from 64 bytes on."""
    most = 64
    while size >= most:
        most *= 4
    return f"below {byte_count(most)}"


def _shape_lines(one: Statistics, width: int, glyphs: Glyphs) -> list[Line]:
    whole = one.data_frames
    about = f"  of the newest {grouped(one.shaped)} of {grouped(whole)}" if one.shaped < whole else ""
    lines: list[Line] = [[], [("Messages by shape", "title"), (about, "muted")]]
    ranked = sorted(grouped_shapes(one.shapes).items(), key=lambda item: (-item[1][0], item[0]))
    for (is_s2c, shape), (frames, size) in ranked[:_SHAPES_SHOWN]:
        share = f"{100 * frames / max(one.shaped, 1):.0f} %"
        cells = ((grouped(frames), 9), (share, 6), (byte_count(size), 10))
        head = " ".join(pad(text, width_, right=True) for text, width_ in cells) + "  "
        room = max(width - len(head) - 8, 10)
        name, style = ("s>c", "s2c") if is_s2c else ("c>s", "c2s")
        lines.append([(f"  {name} ", style), (head, ""), (truncate(escape(shape), room), "")])
    if len(ranked) > _SHAPES_SHOWN:
        lines.append([(f"  … and {counted(len(ranked) - _SHAPES_SHOWN, 'more shape')}", "muted")])
    return lines
