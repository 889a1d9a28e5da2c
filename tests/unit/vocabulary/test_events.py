"""The journal's events: objects as they are stored, and records of whatever an object holds."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.vocabulary import Direction, End, EventKind, Side, State, events

RECORDS = [
    one
    for one in vars(events).values()
    if isinstance(one, type) and issubclass(one, events.Event) and one is not events.Event
]
PROXY_FIN = events.TransportEnded(side=Side.PROXY, how=End.FIN)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


def test_values_are_those_that_captures_hold() -> None:
    assert [one.short for one in Direction] == ["c2s", "s2c"]
    assert [str(one) for one in State] == ["connecting", "open", "closed", "refused", "failed", "lost"]
    assert [str(one) for one in End] == ["fin", "rst", "close_notify", "timeout"]
    assert json.dumps([Side.CLIENT, EventKind.OPEN]) == '["client", "open"]'


def test_each_kind_has_a_record_of_its_own() -> None:
    own = [one for one in RECORDS if one is not events.ImportStarted]  # a file takes the place of an engine
    assert sorted(one.KIND for one in own) == sorted(EventKind)


@pytest.mark.parametrize(
    ("record", "stored"),
    [
        (events.Open(), {"event": "open"}),
        (events.Refused(status=403), {"event": "refused", "status": 403}),
        (events.Refused(status=403, by="fault"), {"event": "refused", "status": 403, "by": "fault"}),
        (
            events.TransportEnded(side=Side.PROXY, how=End.FIN),
            {"event": "end", "side": "proxy", "how": "fin"},
        ),
        (events.Closed(), {"event": "closed"}),
        (events.EngineStopped(), {"event": "engine_stop"}),
        (
            events.Server(address="h:1", peer="10.0.0.1:1", tcp_done_ns=7),
            {
                "event": "server",
                "address": "h:1",
                "peer": "10.0.0.1:1",
                "sockname": None,
                "tcp_start_ns": None,
                "tcp_done_ns": 7,
                "tls_done_ns": None,
                "tls": None,
                "error": None,
            },
        ),
        (
            events.Fault(rule="r", kind="drop", seed=7, direction="c2s", frame=3, detail={}, dropped=True),
            {
                "event": "fault",
                "rule": "r",
                "kind": "drop",
                "seed": 7,
                "direction": "c2s",
                "frame": 3,
                "detail": {},
                "dropped": True,
            },
        ),
        (events.Held(direction="s2c", frame=4), {"event": "held", "direction": "s2c", "frame": 4}),
        (events.PhaseChanged(of=2), {"event": "phase", "phase": None, "of": 2}),
        (
            events.PhaseChanged(phase=0, of=2, for_ms=5.0, rules=["a"], do=[]),
            {"event": "phase", "phase": 0, "of": 2, "for_ms": 5.0, "rules": ["a"], "do": []},
        ),
    ],
)
def test_a_record_is_stored_as_engines_always_did(record: events.Event, stored: dict[str, object]) -> None:
    assert json.loads(json.dumps(record.as_json())) == stored
    assert type(record).read(stored) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: one.KIND)
@given(data=st.data())
def test_any_object_is_read(record: type[events.Event], data: st.DataObject) -> None:
    names = [one.name for one in fields(record)]  # type: ignore[arg-type]  # each kind is a dataclass
    found = record.read(data.draw(st.fixed_dictionaries({name: JSON for name in names})))
    assert record.read(found.as_json()) == found
    json.dumps(found.as_json())


def test_what_an_unstored_event_names_is_read_with_care() -> None:
    found = events.Unstored.read(
        {"streams": [[1, 0], [2, 1], "junk", [1], ["a", 0]], "stream_bytes": [5, None, 1, 1, 1]}
    )
    assert found.lost_streams() == [(1, 0, 5), (2, 1, None)]
    assert events.Unstored.read({"streams": [[1, 0]]}).lost_streams() == [(1, 0, None)]
    assert events.Unstored.read({"connections": [3, -1, "x"]}).lost_records() == [3]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_record_can_be_written_and_read_whatever_its_fields(kind) -> None:
    """A field of a type that nobody reads would stop the engine at the first such event."""
    record = kind.read({})
    assert record.as_json()["event"] == str(kind.KIND)
