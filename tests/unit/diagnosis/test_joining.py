"""Attempts before and behind a hop: by key, by path and time, by content."""

import pytest

from wsinspect.capture.queries.hops import AttemptRow
from wsinspect.diagnosis.hops import order_of
from wsinspect.diagnosis.joining import Attempt, Content, content_of, join, make_attempt, rough_difference
from wsinspect.handshake.heads import RawHead

SECOND = 10**9


def attempt(number, tap, at, *, key=None, path="/ws", lasts=5.0):
    closed = int((at + lasts) * SECOND) if lasts is not None else None
    return Attempt(number, tap, path, int(at * SECOND), closed, key)


def edge(number, at, **more):
    return attempt(number, "edge", at, **more)


def origin(number, at, **more):
    return attempt(number, "origin", at, **more)


def nothing(one, is_origin):
    return Content(frozenset(), frozenset())


def by_words(**words):
    """Content by the attempt's number: fields and messages."""

    def content(one, is_origin):
        fields, messages = words[f"n{one.id}"]
        return Content(frozenset(fields), frozenset((0, word) for word in messages))

    return content


def result(found):
    return [(one.edge.id, one.origin.id if one.origin else None, one.by) for one in found]


def test_the_key_decides_whatever_path_and_time_say():
    found = join(
        [edge(1, 0, key=b"a"), edge(2, 0, key=b"b")],
        [origin(3, 90, key=b"b", path="/other"), origin(4, 0, key=b"a")],
        0,
        nothing,
    )
    assert result(found) == [(1, 4, "key"), (2, 3, "key")]


def test_a_key_that_comes_twice_is_joined_in_order():
    found = join(
        [edge(1, 0, key=b"a"), edge(2, 1, key=b"a")],
        [origin(3, 0.1, key=b"a"), origin(4, 1.1, key=b"a")],
        0,
        nothing,
    )
    assert result(found) == [(1, 3, "key"), (2, 4, "key")]


def test_a_key_that_comes_twice_is_not_joined_with_what_began_at_another_time():
    """curl has always the same key; the hop answered the first attempt by itself."""
    found = join(
        [edge(1, 0, key=b"a", lasts=0.1), edge(2, 1, key=b"a"), edge(3, 9, key=b"a")],
        [origin(4, 1.1, key=b"a")],
        0,
        nothing,
    )
    assert result(found) == [(1, None, None), (2, 4, "key"), (3, None, None)]


@pytest.mark.parametrize("order", [(0, 0.1), (0.1, 0)])
def test_of_attempts_at_once_with_one_key_the_path_decides(order):
    found = join(
        [edge(1, 0, key=b"a", path="/one"), edge(2, 0.01, key=b"a", path="/two")],
        [
            origin(3, 1 + order[0], key=b"a", path="/app/two"),
            origin(4, 1 + order[1], key=b"a", path="/app/one"),
        ],
        0,
        nothing,
    )
    assert result(found) == [(1, 4, "key"), (2, 3, "key")]


def test_thousands_of_attempts_with_one_key_are_joined_in_order():
    count = 20_000
    edges = [edge(n, n, key=b"a", lasts=0.5) for n in range(count)]
    origins = [origin(count + n, n + 0.1, key=b"a") for n in range(count)]
    found = join(edges, origins, 0, nothing)
    assert all(one.origin is not None and one.origin.id == one.edge.id + count for one in found)


def test_clocks_are_not_compared_by_a_key_that_comes_twice():
    edges = [edge(1, 0, key=b"a"), edge(2, 100, key=b"a"), edge(3, 50, key=b"b")]
    origins = [origin(4, 7, key=b"a"), origin(5, 107, key=b"a"), origin(6, 57, key=b"b")]
    assert rough_difference(edges, origins, nothing) == 7 * SECOND


def hop_order(*attempts):
    return sorted(order_of(attempts, set()))


CHAIN = [("edge", "middle"), ("middle", "origin")]


@pytest.mark.parametrize(
    "taps",
    [
        ("edge", "middle", "origin", "edge", "middle", "origin"),
        ("edge", "edge", "middle", "middle", "origin", "origin"),
        ("edge", "middle", "edge", "origin", "middle", "origin"),
        ("edge", "middle", "origin", "edge"),
        ("edge", "edge", "middle", "origin"),
    ],
)
def test_the_order_of_the_taps_is_that_of_a_chain_whoever_uses_a_key_twice_at_once(taps):
    assert hop_order(*(attempt(n, tap, n / 100, key=b"a") for n, tap in enumerate(taps))) == CHAIN


def test_two_hops_behind_one_tap_are_no_chain_where_the_paths_differ():
    found = hop_order(
        attempt(1, "edge", 0, key=b"a", path="/one"),
        attempt(2, "one", 0.1, key=b"a", path="/one"),
        attempt(3, "edge", 0.2, key=b"a", path="/two"),
        attempt(4, "two", 0.3, key=b"a", path="/two"),
    )
    assert found == [("edge", "one"), ("edge", "two")]


def test_the_only_one_at_that_path_and_time_needs_no_content():
    def content(one, is_origin):
        raise AssertionError("nobody has a choice")

    found = join([edge(1, 0), edge(2, 60)], [origin(3, 0.01, path="/app/ws"), origin(4, 60.01)], 0, content)
    assert result(found) == [(1, 3, "path and time"), (2, 4, "path and time")]


def test_before_and_after_the_attempt_there_is_none():
    assert result(join([edge(1, 5, lasts=1)], [origin(2, 4), origin(3, 7)], 0, nothing)) == [(1, None, None)]


def test_fields_tell_refused_attempts_apart():
    content = by_words(
        n1=(["cookie: a"], []), n2=(["cookie: b"], []), n3=(["cookie: b"], []), n4=(["cookie: a"], [])
    )
    found = join([edge(1, 0), edge(2, 0.001)], [origin(3, 0.01), origin(4, 0.02)], 0, content)
    assert result(found) == [(1, 4, "content"), (2, 3, "content")]


def test_messages_count_more_than_fields():
    content = by_words(
        n1=(["x", "y"], ["one"]), n2=(["x"], ["two"]), n3=(["x", "y"], ["two"]), n4=(["x"], ["one"])
    )
    found = join([edge(1, 0), edge(2, 0.001)], [origin(3, 0.01), origin(4, 0.02)], 0, content)
    assert result(found) == [(1, 4, "content"), (2, 3, "content")]


def test_what_is_alike_in_everything_is_joined_by_time_and_says_so():
    content = by_words(n1=(["x"], []), n2=(["x"], []), n3=(["x"], []), n4=(["x"], []))
    found = join([edge(1, 0), edge(2, 1)], [origin(3, 0.01), origin(4, 1.01)], 0, content)
    assert result(found) == [(1, 3, "path and time"), (2, 4, "path and time")]


def test_another_path_takes_two_messages():
    one = by_words(n1=(["x"], ["a"]), n2=(["x"], ["a"]))
    two = by_words(n1=([], ["a", "b"]), n2=([], ["a", "b", "c"]))
    behind = [origin(2, 0.01, path="/elsewhere")]
    assert result(join([edge(1, 0)], behind, 0, one)) == [(1, None, None)]
    assert result(join([edge(1, 0)], behind, 0, two)) == [(1, 2, "content")]


def test_the_clocks_difference_is_taken_off():
    found = join([edge(1, 0)], [origin(2, 3600.01)], 3600 * SECOND, nothing)
    assert result(found) == [(1, 2, "path and time")]


def test_a_rough_difference_comes_from_keys_else_from_what_is_most_alike():
    assert rough_difference([edge(1, 1, key=b"a")], [origin(2, 8, key=b"a")], nothing) == 7 * SECOND
    content = by_words(n1=(["x"], []), n2=(["y"], ["m"]), n3=(["y"], ["m"]))
    assert rough_difference([edge(1, 1), edge(2, 2)], [origin(3, 12)], content) == 10 * SECOND
    assert rough_difference([], [origin(3, 12)], content) == 0


def test_headers_that_hops_set_themselves_are_left_out():
    raw = (
        b"GET /ws?token=7&room=a HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: k1\r\nCookie: me=1\r\n\r\n"
    )
    assert content_of(RawHead.parse(raw), frozenset()).fields == {b"cookie:me=1", b"?token=7", b"?room=a"}
    assert make_attempt(AttemptRow(1, "edge", "/ws", 5, None, raw)).key == b"k1"
    assert make_attempt(AttemptRow(1, "edge", None, None, None, None)) == Attempt(
        1, "edge", "/", 0, None, None
    )


def test_another_path_without_a_key_takes_all_other_fields_and_no_rival():
    same: tuple[list[str], list[str]] = (["origin:a", "x-mine:1"], [])
    content = by_words(n1=same, n2=(["origin:a", "x-mine:1", "via:hop"], []), n3=(["origin:a"], []))
    before = [edge(1, 1.0, path="/a")]
    behind = [origin(2, 1.1, path="/x", key=b"k"), origin(3, 1.1, path="/y", key=b"l")]
    found = join(before, behind, 0, content)
    assert result(found) == [(1, 2, "fields and time")]
    # Another one that fits as well: then it is not known which.
    content = by_words(n1=same, n2=same, n3=same)
    found = join(before, behind, 0, content)
    assert result(found) == [(1, None, None)]
    # Over HTTP/1.1 the key would have come through.
    found = join([edge(1, 1.0, path="/a", key=b"m")], [origin(2, 1.1, path="/x", key=b"k")], 0, content)
    assert result(found) == [(1, None, None)]
