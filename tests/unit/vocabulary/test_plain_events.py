"""Events of plain HTTP are events like the others: of the same module, and read as they are written."""

from __future__ import annotations

import json

from wsinspect.vocabulary import events, plain_events


def test_events_has_them_all() -> None:
    own = [one for one in vars(plain_events).values() if isinstance(one, type) and hasattr(one, "KIND")]
    assert [one for one in own if getattr(events, one.__name__, None) is not one] == []


def test_what_a_library_asked_is_read_as_it_is_written() -> None:
    asked = plain_events.LibraryAsked(
        library="sockjs", part="begin", status=404, problem="failed", tap="edge"
    )
    stored = json.loads(json.dumps(asked.as_json()))
    assert plain_events.LibraryAsked.read(stored) == asked
    assert "origin" not in stored
