import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.clients.messages import id_of, identity_of, is_heartbeat, kind_of, polled, texts_of, value_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"type":"subscribe","id":1}', b'{"id":2,"type":"subscribe"}'),
        (b'42["join",{"room":1}]', b'42["join",{"room":2}]'),
        (b'["1","1","room:a","phx_join",{}]', b'["4","9","room:a","phx_join",{}]'),
        (
            b'{"target":"Join","type":1,"arguments":[1]}\x1e',
            b'{"arguments":[2],"target":"Join","type":1}\x1e',
        ),
        (b"SUBSCRIBE\nid:0\ndestination:/a\n\n\0", b"SUBSCRIBE\nid:0\ndestination:/a\nx:y\n\n\0"),
    ],
)
def test_the_same_kind(one, other):
    assert kind_of(one) == kind_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"type":"subscribe"}', b'{"type":"unsubscribe"}'),
        (b'42["join",{}]', b'42["leave",{}]'),
        (b"hello", b"world"),
        (b"SUBSCRIBE\ndestination:/a\n\n\0", b"SUBSCRIBE\ndestination:/b\n\n\0"),
    ],
)
def test_another_kind(one, other):
    assert kind_of(one) != kind_of(other)


def test_ids():
    assert id_of(b'{"id":"a1"}') == "id=a1"
    assert id_of(b'42["chat",{"messageId":7}]') == "messageId=7"
    assert id_of(b'{"id":""}') is None
    assert id_of(b'{"ok":true}') is None
    assert id_of(b"id") is None


def test_the_same_id_in_another_message_is_another_one():
    order = b'{"type":"order","id":1}'
    assert identity_of(order) == identity_of(b'{"id":1,"type":"order","try":2}') is not None
    assert identity_of(order) != identity_of(b'{"type":"done","id":1}')
    assert identity_of(b'42["buy",{"id":1}]') != identity_of(b'42["sell",{"id":1}]')
    assert identity_of(b'{"type":"order"}') is None


def test_texts_that_may_be_tokens():
    assert set(texts_of(b'40{"pid":"abcdefgh1","x":["short","longer text"]}')) == {"abcdefgh1", "longer text"}
    assert list(texts_of(b"not JSON")) == []


def test_heartbeats():
    for data in (
        b"2",
        b"3",
        b"ping",
        b'{"type":6}\x1e',
        b'{"type":"ping"}',
        b'[null,"3","phoenix","heartbeat",{}]',
    ):
        assert is_heartbeat(data), data
    for data in (b"22", b'{"type":6}', b'{"type":"message"}', b"[]", b""):
        assert not is_heartbeat(data), data


def test_broken_json_is_none_of_it():
    for data in (b"{", b"[" * 5000, b'42["a"', b"\xff{", b'{"a":1}x'):
        assert value_of(data) is None


@pytest.mark.parametrize(
    ("body", "is_signalr", "found"),
    [
        ('{"protocol":"json"}\x1e{"type":6}\x1e', True, [b'{"protocol":"json"}\x1e', b'{"type":6}\x1e']),
        (':\r\n\r\ndata: {}\x1e\r\n\r\ndata: {"a":1}\x1e\r\n\r\n', True, [b"{}\x1e", b'{"a":1}\x1e']),
        ('40\x1e42["join",1]', False, [b"40", b'42["join",1]']),
        ('2:4010:42["join"]', False, [b"40", b'42["join"]']),
        ("9999:4", False, []),
        ("", False, []),
        ("", True, []),
    ],
)
def test_what_is_polled_is_what_a_websocket_would_have(body, is_signalr, found):
    assert polled(body, is_signalr=is_signalr) == found


@given(body=st.text(max_size=60), is_signalr=st.booleans())
def test_any_body_can_be_read(body, is_signalr):
    assert all(isinstance(one, bytes) for one in polled(body, is_signalr=is_signalr))
