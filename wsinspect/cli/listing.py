"""`show` without a connection: the list, at once or as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from wsinspect.capture.missing import missing
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.capture.story import story
from wsinspect.cli.output import echo, echo_json, narration, note, prose_columns
from wsinspect.present.connection_table import ConnectionTable
from wsinspect.present.objects import connection_object
from wsinspect.recorder.following import looks

#: So many connections of a client one after the other are a story, and not a list.
_MANY_RECONNECTS: Final = 8
_NEVER: Final = 1 << 63


def is_final(connection: Connection) -> bool:
    """Whether a connection's row does not change any more."""
    return connection.closed_ns is not None or connection.state == "lost"


class StateChanges:
    """The connections that are new or in another state than before; new counts alone do not matter."""

    def __init__(self) -> None:
        self._states: dict[int, tuple[str, bool]] = {}
        self._final_up_to = 0

    def take(self, capture: Capture) -> list[Connection]:
        """What changed since the last call, by id."""
        changed = []
        is_contiguous = True
        for one in capture.connections(after=self._final_up_to):
            state = one.state, is_final(one)
            if self._states.get(one.id) != state:
                changed.append(one)
            if is_contiguous and is_final(one):
                self._final_up_to = one.id
                self._states.pop(one.id, None)
            else:
                is_contiguous = False
                self._states[one.id] = state
        return changed


def show_connections(path: Path, *, follow: bool) -> None:
    """The table, and when following a line for each change."""
    changes = StateChanges()
    table: ConnectionTable | None = None
    for look in looks(path, follow=follow):
        changed = changes.take(look.capture)
        if table is None:
            table = _print_table(changed)
            if hint := reconnect_hint(changed):
                note(narration(hint))
        else:
            for one in changed:
                echo(table.line(one))


def reconnect_hint(connections: Sequence[Connection]) -> str:
    """Where many connections are one client's that tries again and again, what shows them as that.

    Returns:
        Empty where they are not: many at once are no reconnects.
    """
    again = 0
    ended: dict[tuple[str, str], int] = {}
    for one in sorted(connections, key=lambda one: one.attempt_ns or 0):
        key, began_ns = (one.url, (one.client or "").rpartition(":")[0]), one.attempt_ns or 0
        again += ended.get(key, began_ns + 1) <= began_ns
        ended[key] = _NEVER if one.closed_ns is None else max(ended.get(key, 0), one.closed_ns)
    if again < _MANY_RECONNECTS:
        return ""
    return f"{again} of these are tries of the same clients again: wsinspect show --sessions joins them"


def follow_connections_json(path: Path) -> None:
    """One line for each connection that is new or in another state than before."""
    changes = StateChanges()
    for look in looks(path, follow=True):
        for one in changes.take(look.capture):
            echo_json({"event": "connection", "connection": one.id, **connection_object(one)})


def capture_state(capture: Capture) -> dict[str, Any]:
    """What `show` says of a whole capture: whether it is complete, what it lacks, what was done on purpose.

    Raises:
        CaptureError: it is damaged.
    """
    lacks, done = missing(capture), story(capture)
    lost = lacks.as_json() if lacks else None
    return {
        "live": capture.is_live,
        "closed_cleanly": bool(capture.meta.get("closed_cleanly")),
        "evicted": lost,
        "missing": lost,
        "on_purpose": None if done is None else done.as_json(),
    }


#: What is said of a damaged capture of which not even that can be read.
NO_STATE: Final = dict.fromkeys(("live", "closed_cleanly", "evicted", "missing", "on_purpose"))


def print_connections_json(path: Path) -> None:
    """Print one JSON object: the state of the capture and all its connections."""
    for capture, _ in looks(path, follow=False):
        connections = [connection_object(one) for one in capture.connections()]
        echo_json({"capture": str(path), **capture_state(capture), "connections": connections})


def _print_table(connections: list[Connection]) -> ConnectionTable:
    with_tap = len({one.tap for one in connections}) > 1
    table = ConnectionTable(connections, with_tap, prose_columns())
    for line in table.lines():
        echo(line)
    return table
