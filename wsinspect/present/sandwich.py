"""What a hop did to connections, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts
from wsinspect.findings.sandwich import PairFacts, Through, Waited, change_line
from wsinspect.present.cells import Line
from wsinspect.text import escape

#: Most connections printed in full; of more, only the first ones.
_SHOWN = 20
#: Cells of the names in front of facts.
_NAME_CELLS = 10


def sandwich_lines(pairs: Sequence[PairFacts]) -> Iterator[Line]:
    """One paragraph a connection."""
    if not pairs:
        return
    clocks = pairs[0].clocks
    if not clocks.is_same_clock:
        difference, error = clocks.difference_ns / 1e6, clocks.error_ns / 1e6
        words = f"The origin's clock is {difference:+.3f} ms from the edge's (within {error:.3f} ms)"
        yield [(words, "")]
    for pair in pairs[:_SHOWN]:
        yield from _pair(pair)
    if len(pairs) > _SHOWN:
        yield [(f"... and {len(pairs) - _SHOWN} more connections; --connection shows one, --json all", "")]


def _pair(pair: PairFacts) -> Iterator[Line]:
    behind = (
        f"#{pair.origin.id} (joined by {pair.joined_by})" if pair.origin else "nothing arrived behind the hop"
    )
    yield [(f"Sandwich  #{pair.edge.id} {escape(pair.edge.tap or 'edge')} -> {behind}", "title")]
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
            yield _line(name if index == 0 else "", escape(change_line(change)))
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
    words = [f"{through.sent} went in, {through.arrived} came out"]
    words += [f"{through.lost_count} lost"] * bool(through.lost_count)
    words += [f"{through.added_count} made up"] * bool(through.added_count)
    words += [f"{through.reframed} in other fragments"] * bool(through.reframed)
    words += [f"{through.recompressed} with other compression"] * bool(through.recompressed)
    if through.delays_ns is not None:
        words.append(f"in the hop {seconds(through.delays_ns[1])}, at most {seconds(through.delays_ns[3])}")
    words += [f"{through.held} held up to {seconds(through.held_ns)}"] * bool(through.held)
    return ", ".join(words)
