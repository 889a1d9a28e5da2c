"""What a hop did to connections, as lines for people."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple, Self

from wsinspect.findings.alignment import align
from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts
from wsinspect.findings.sandwich import PairFacts, Through, Waited, change_line
from wsinspect.handshake.diff import Change, ChangeKind
from wsinspect.present.cells import Line
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.handshakes import change_lines, pair_line
from wsinspect.present.rows import duration
from wsinspect.text import counted, escape, pad, truncate
from wsinspect.wire.opcodes import opcode_name

#: Most connections printed in full; of more, only the first ones.
_SHOWN = 20
#: Cells of the names in front of facts.
_NAME_CELLS = 10


def sandwich_lines(pairs: Sequence[PairFacts], arrow: str = "->") -> Iterator[Line]:
    """One paragraph a connection.

    Args:
        arrow: between what was before the hop and what is behind it.
    """
    if not pairs:
        return
    clocks = pairs[0].clocks
    if not clocks.is_same_clock:
        difference, error = clocks.difference_ns / 1e6, clocks.error_ns / 1e6
        words = f"The origin's clock is {difference:+.3f} ms from the edge's (within {error:.3f} ms)"
        yield [(words, "")]
    for pair in pairs[:_SHOWN]:
        yield from _pair(pair, arrow)
    if len(pairs) > _SHOWN:
        yield [(f"... and {len(pairs) - _SHOWN} more connections; --connection shows one, --json all", "")]


def _pair(pair: PairFacts, arrow: str) -> Iterator[Line]:
    behind = (
        f"#{pair.origin.id} {escape(pair.origin.tap or 'origin')} (joined by {pair.joined_by})"
        if pair.origin
        else "nothing arrived behind the hop"
    )
    yield [(f"Sandwich  #{pair.edge.id} {escape(pair.edge.tap or 'edge')} {arrow} {behind}", "title")]
    if pair.origin is None:
        answer = (
            pair.edge.response_in.start_line.decode("latin-1") if pair.edge.response_in else pair.edge.error
        )
        yield _line("", f"the hop answered itself: {escape(str(answer))}", 0)
        return
    into, out = pair.versions
    yield _line("HTTP", escape(f"{into} into the hop, {out} out of it"))
    for name, changes in (("request", pair.request_changes), ("response", pair.response_changes)):
        for index, change in enumerate(changes):
            yield _line(name if index == 0 else "", escape(change_line(change, arrow)))
    for arrow, through in (("c>s", pair.c2s), ("s>c", pair.s2c)):
        if through is not None and (through.sent or through.arrived):
            yield _line(arrow, _through(through))
            source = pair.edge if arrow == "c>s" or pair.origin is None else pair.origin
            yield from (_line("", _waited(one, source)) for one in through.longest)
        if through is not None and through.controls[0] != through.controls[1]:
            yield _line(arrow, _controls(*through.controls))
    if pair.closed_by is not None:
        quiet = [seconds(pair.edge.silence_ns(side) or 0) for side in (C2S, S2C)]
        after = f", after a silence of {quiet[0]} c>s and {quiet[1]} s>c" if pair.closed_by == "hop" else ""
        yield _line("ended by", f"{'the ' if pair.closed_by == 'hop' else ''}{pair.closed_by}{after}")


def _line(name: str, words: str, cells: int = _NAME_CELLS) -> Line:
    return [("  ", ""), (f"{name:<{cells}}", ""), (words, "")]


def _waited(one: Waited, source: ConnectionFacts) -> str:
    since = seconds(one.time_ns - (source.open_ns or one.time_ns))
    return f"frame {one.id}, {since} after the 101, waited {seconds(one.for_ns)}"


def _controls(sent: int, arrived: int) -> str:
    return f"{sent} PINGs and PONGs went in, {arrived} came out: the hop answers or makes its own"


def _through(through: Through) -> str:
    words = [f"{counted(through.sent, 'message')} went in, {through.arrived} came out"]
    words += [f"{through.lost_count} lost"] * bool(through.lost_count)
    words += [f"{through.added_count} made up"] * bool(through.added_count)
    words += [f"{through.reframed} in other fragments"] * bool(through.reframed)
    words += [f"{through.recompressed} with other compression"] * bool(through.recompressed)
    if through.delays_ns is not None:
        words.append(f"in the hop {seconds(through.delays_ns[1])}, at most {seconds(through.delays_ns[3])}")
    words += [f"{through.held} held up to {seconds(through.held_ns)}"] * bool(through.held)
    return ", ".join(words)


class SideFrame(NamedTuple):
    """A frame as one tap saw it.

    Attributes:
        key: equal ones are the same frame.
        preview: how its payload begins, escaped.
    """

    id: int
    is_s2c: bool
    opcode: int
    length: int
    time_ns: int
    key: Hashable
    preview: str = ""


def in_rows(
    edge: Sequence[SideFrame], origin: Sequence[SideFrame]
) -> list[tuple[SideFrame | None, SideFrame | None]]:
    """The frames of both taps in rows: one that passed the hop unchanged once, any other on its side alone.

    Each direction keeps its order; a row stands where the edge saw it, else behind what came before it there.
    """
    partner: dict[int, SideFrame] = {}
    for is_s2c in (False, True):
        left = [one for one in edge if one.is_s2c is is_s2c]
        right = [one for one in origin if one.is_s2c is is_s2c]
        for at, other in align([one.key for one in left], [one.key for one in right]):
            partner[left[at].id] = right[other]
    paired = {one.id for one in partner.values()}
    alone = [one for one in origin if one.id not in paired]
    rows: list[tuple[SideFrame | None, SideFrame | None]] = []
    for one in edge:
        while alone and alone[0].time_ns <= one.time_ns:
            rows.append((None, alone.pop(0)))
        rows.append((one, partner.get(one.id)))
    return rows + [(None, one) for one in alone]


def side_by_side(
    pair: PairFacts,
    edge: Sequence[SideFrame],
    origin: Sequence[SideFrame],
    width: int,
    *,
    only_differences: bool,
    glyphs: Glyphs,
) -> Iterator[Line]:
    """A connection before the hop at the left and behind it at the right: handshake, then frames.

    Of frames that passed unchanged the right side says how long they were in the hop.
    """
    half = max((width - 3) // 2, 10)
    names = (
        escape(pair.edge.tap or "edge"),
        escape((pair.origin.tap if pair.origin else pair.behind) or "origin"),
    )
    ids = f"#{pair.edge.id}", f"#{pair.origin.id}" if pair.origin is not None else "nothing arrived"
    yield pair_line(f"{names[0]}  {ids[0]}", f"{names[1]}  {ids[1]}", half, "title", " ", glyphs)
    if pair.origin is None:
        yield [("The hop answered itself: there is nothing to compare with.", "muted")]
        return
    for name, changes in (("Request", pair.request_lines), ("Response", pair.response_lines)):
        respelt = sum(map(_is_respelt, changes))
        count = sum(change.kind is not ChangeKind.SAME for change in changes) - respelt
        about = (
            f"changed by the hop: {count}" if count else "unchanged" if changes else "not seen on both sides"
        )
        letters = f", {counted(respelt, 'name')} in another letter case" if respelt else ""
        yield [(name, "title"), (f"  {about}{letters}", "changed" if count else "muted")]
        yield from _header_lines(changes, half, glyphs, only_differences=only_differences)
    rows = in_rows(edge, origin)
    counts = sum(left is None or right is None for left, right in rows)
    about = f"on one side only: {counts}" if counts else "the same on both sides" if rows else "none"
    yield [("Frames", "title"), (f"  {about}", "changed" if counts else "muted")]
    zero_ns = pair.edge.open_ns or (edge[0].time_ns if edge else origin[0].time_ns if origin else 0)
    layout = _FrameCells.of([*edge, *origin], zero_ns, pair.clocks.difference_ns)
    for left, right in rows:
        if only_differences and left is not None and right is not None:
            continue
        yield layout.line(left, right, half, glyphs)


def _is_respelt(change: Change) -> bool:
    """Whether a name's letters alone are others, which mean the same (RFC 9110 section 5.1): HAProxy, Envoy
    and Go write names their way."""
    if change.kind is not ChangeKind.CHANGED or change.before is None or change.after is None:
        return False
    before, after = change.before.partition(b":"), change.after.partition(b":")
    return bool(after[1]) and before[0].lower() == after[0].lower() and before[2] == after[2]


def _header_lines(
    changes: Sequence[Change], half: int, glyphs: Glyphs, *, only_differences: bool
) -> Iterator[Line]:
    for change in changes:
        if change.kind is not ChangeKind.SAME or not only_differences:
            yield from change_lines(change, half, glyphs)


class _FrameCells(NamedTuple):
    """The columns of frames, as narrow as they can be: in half a terminal the payload needs the room.

    Attributes:
        zero_ns: what times count from.
        difference_ns: how much the clock behind the hop is ahead.
        id_cells, time_cells, length_cells: of their columns.
    """

    zero_ns: int
    difference_ns: int
    id_cells: int
    time_cells: int
    length_cells: int

    @classmethod
    def of(cls, frames: Sequence[SideFrame], zero_ns: int, difference_ns: int) -> Self:
        """Columns that all of these fit into."""
        longest_ns = max((abs(one.time_ns - zero_ns) for one in frames), default=0)
        return cls(
            zero_ns,
            difference_ns,
            max((len(str(one.id)) for one in frames), default=1),
            len(f"{longest_ns / 1e9:.3f}") + any(one.time_ns < zero_ns for one in frames),
            max((len(str(one.length)) for one in frames), default=1),
        )

    def line(self, left: SideFrame | None, right: SideFrame | None, half: int, glyphs: Glyphs) -> Line:
        """A frame on both sides, or on one."""
        before = self._cell(left, 0) if left is not None else ""
        after = self._cell(right, self.difference_ns) if right is not None else ""
        if left is None or right is None:
            is_lost = (left is not None and not left.is_s2c) or (right is not None and right.is_s2c)
            return pair_line(before, after, half, "changed", "-" if is_lost else "+", glyphs)
        took_ns = right.time_ns - self.difference_ns - left.time_ns
        took = duration(max(-took_ns if left.is_s2c else took_ns, 0))
        style = "s2c" if left.is_s2c else "c2s"
        passed = f"#{right.id:<{self.id_cells}}  in the hop {took}"
        line = pair_line(before, passed, half, style, " ", glyphs)
        return [*line[:-1], (line[-1][0], "same")]

    def _cell(self, one: SideFrame, ahead_ns: int) -> str:
        passed = f"{(one.time_ns - ahead_ns - self.zero_ns) / 1e9:.3f}"
        arrow, opcode = "<" if one.is_s2c else ">", pad(opcode_name(one.opcode), 6)
        head = f"#{one.id:<{self.id_cells}} {passed:>{self.time_cells}} {arrow} {opcode}"
        return f"{head} {one.length:>{self.length_cells}}  {truncate(one.preview, 200)}"
