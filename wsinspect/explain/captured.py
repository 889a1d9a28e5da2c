"""Which connections of a capture a line is about: those that agree with everything that it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from wsinspect.capture.records import Connection
from wsinspect.explain.places import Places
from wsinspect.explain.table import Situation

#: How far a line's time may be from the connection: clocks of two machines, and what a log writes at its end.
_NEAR_NS: Final = 5 * 10**9
#: Connections that are worth showing; the newest say most.
MOST: Final = 5
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "::1"))


class Shown(NamedTuple):
    """The connections that a line is about.

    Attributes:
        ids: the newest first, at most `MOST`.
        total: how many there are.
        by: what they agree in, such as `host and status`.
        is_at_time: they are within seconds of the line's time; None where it has none.
    """

    ids: tuple[int, ...]
    total: int
    by: str
    is_at_time: bool | None


def shown_by(connections: Iterable[Connection], places: Places, situation: Situation) -> Shown:
    """The connections that agree with a line in host, path, status and close code.

    A line's time chooses among them; where none was near, all stay: the clocks may differ.
    """
    kept: list[Connection] = []
    by: dict[str, None] = {}
    for one in connections:
        agreed = _agreed(one, places, situation)
        if agreed:
            kept.append(one)
            by.update(dict.fromkeys(agreed))
    is_at_time = None
    if places.time_ns is not None and kept:
        near = [one for one in kept if _is_near(one, places.time_ns)]
        is_at_time = bool(near)
        kept = near or kept
    kept.sort(key=lambda one: one.attempt_ns or 0, reverse=True)
    return Shown(tuple(one.id for one in kept[:MOST]), len(kept), " and ".join(by), is_at_time)


def _agreed(one: Connection, places: Places, situation: Situation) -> Sequence[str]:
    """What a connection and a line agree in; nothing where they contradict."""
    agreed = []
    if (hosts := places.hosts) and one.host is not None:
        server = (one.server or "").rpartition(":")[0]
        if not {_named(one.host), _named(server)} & set(map(_named, hosts)):
            return ()
        agreed.append("host")
    if places.request_path is not None and one.path is not None:
        if one.path.partition("?")[0] != places.request_path:
            return ()
        agreed.append("path")
    if places.status is not None:
        if one.status != places.status:
            return ()
        agreed.append("status")
    codes = {one.client_close_code, one.server_close_code, one.js_code} - {None}
    code = places.code if places.code is not None else _code_of(situation)
    if code is not None:
        if code not in codes:
            return ()
        agreed.append("close code")
    if "status" in agreed or "close code" in agreed or not agreed:
        return agreed
    # A host or path alone does not show it: the connection has to have failed.
    failed = one.open_ns is None or (one.js_code not in (None, 1000, 1005) and one.closed_ns is not None)
    return agreed if failed else ()


def _code_of(situation: Situation) -> int | None:
    return 1006 if situation.name == "abnormal" else None


def _named(host: str) -> str:
    name = host.strip("[]").lower()
    return "localhost" if name in _LOOPBACK else name


def _is_near(one: Connection, time_ns: int) -> bool:
    start = one.attempt_ns if one.attempt_ns is not None else one.closed_ns
    end = one.closed_ns if one.closed_ns is not None else start
    return start is not None and end is not None and start - _NEAR_NS <= time_ns <= end + _NEAR_NS
