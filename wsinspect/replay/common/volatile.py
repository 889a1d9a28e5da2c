"""Two recordings of the same session: where their messages differ is what changes each time."""

from __future__ import annotations

from itertools import islice
from typing import Final

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.formats.transcript import Said, messages
from wsinspect.replay.common.values import Place, is_similar, volatile

#: How many messages of a connection are looked at; what varies does so early.
_LOOKED_AT: Final = 10_000
_AHEAD: Final = 8


def find_volatile(first: Capture, second: Capture) -> tuple[Place, ...]:
    """The places in which messages of one kind differ; connections are compared in their order."""
    found: dict[Place, None] = {}
    for one, other in _pairs(first, second):
        for way in (0, 1):
            ours = [said for said in islice(messages(first, one.id), _LOOKED_AT) if said.direction == way]
            theirs = [
                said for said in islice(messages(second, other.id), _LOOKED_AT) if said.direction == way
            ]
            for place in _places(ours, theirs):
                found[place] = None
    return tuple(found)


def _pairs(first: Capture, second: Capture) -> list[tuple[Connection, Connection]]:
    others = _by_path(second)
    pairs = []
    for one in first.connections():
        same = others.get((one.path or "").partition("?")[0])
        if same:
            pairs.append((one, same.pop(0)))
    return pairs


def _by_path(capture: Capture) -> dict[str, list[Connection]]:
    found: dict[str, list[Connection]] = {}
    for one in capture.connections():
        found.setdefault((one.path or "").partition("?")[0], []).append(one)
    return found


def _places(ours: list[Said], theirs: list[Said]) -> list[Place]:
    found: list[Place] = []
    at = 0
    for said in ours:
        for ahead in range(at, min(at + _AHEAD, len(theirs))):
            other = theirs[ahead]
            if said.opcode == other.opcode == 1 and is_similar(said.data, other.data):
                found += volatile(said.data, other.data)
                at = ahead + 1
                break
    return found
