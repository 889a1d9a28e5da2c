"""The connections of a capture that a line is about."""

import pytest

from wsinspect.capture.records import Connection
from wsinspect.explain.captured import MOST, shown_by
from wsinspect.explain.places import Places
from wsinspect.explain.table import situations

S = 10**9
REFUSED = Connection._make([None] * len(Connection._fields))._replace(
    id=1,
    scheme="wss",
    host="a.example",
    port=443,
    path="/ws?x=1",
    server="10.0.0.9:443",
    status=404,
    attempt_ns=100 * S,
    closed_ns=101 * S,
    js_code=1006,
    state="refused",
)
DROPPED = REFUSED._replace(id=2, status=101, open_ns=200 * S, attempt_ns=200 * S, closed_ns=260 * S)
CLOSED = DROPPED._replace(id=3, attempt_ns=300 * S, closed_ns=310 * S, server_close_code=4401, js_code=4401)
FINE = DROPPED._replace(id=4, attempt_ns=400 * S, closed_ns=410 * S, server_close_code=1000, js_code=1000)
ALL = [REFUSED, DROPPED, CLOSED, FINE]


def ids(name="status-other", **places):
    return shown_by(ALL, Places(**places), situations()[name]).ids


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({"status": 404}, (1,)),
        ({"status": 404, "url": "wss://a.example/ws"}, (1,)),
        ({"status": 404, "url": "wss://b.example/ws"}, ()),
        ({"status": 404, "path": "/other"}, ()),
        ({"code": 4401}, (3,)),
        ({"code": 1006}, (2, 1)),
        ({"host": "a.example:443"}, (3, 2, 1)),
        ({"upstream": "10.0.0.9:443"}, (3, 2, 1)),
        ({"path": "/ws"}, (3, 2, 1)),
        ({}, ()),
    ],
)
def test_all_that_the_line_says_has_to_agree(places, expected):
    assert ids(**places) == expected


def test_a_situation_without_a_code_in_the_line_has_one():
    assert ids("abnormal", url="wss://a.example/ws") == (2, 1)


def test_a_time_chooses_and_clocks_that_differ_are_said():
    shown = shown_by(ALL, Places(code=1006, time_ns=258 * S), situations()["abnormal"])
    assert (shown.ids, shown.is_at_time) == ((2,), True)
    shown = shown_by(ALL, Places(code=1006, time_ns=9999 * S), situations()["abnormal"])
    assert (shown.ids, shown.is_at_time) == ((2, 1), False)
    assert shown_by(ALL, Places(code=1006), situations()["abnormal"]).is_at_time is None


def test_this_machine_has_several_names():
    local = REFUSED._replace(host="127.0.0.1", server="127.0.0.1:80")
    assert shown_by([local], Places(url="ws://localhost/ws"), situations()["status-404"]).ids == (1,)


def test_only_the_newest_are_shown_and_all_are_counted():
    many = [DROPPED._replace(id=number, attempt_ns=number * S) for number in range(1, 20)]
    shown = shown_by(many, Places(code=1006), situations()["abnormal"])
    assert shown.ids == (19, 18, 17, 16, 15)
    assert (len(shown.ids), shown.total, shown.by) == (MOST, 19, "close code")
