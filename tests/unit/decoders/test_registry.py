"""Which decoder is asked for a payload, whatever it is; decoders of one's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.decoding import (
    EIO,
    binary,
    names,
    stomp,
    text,
)
from wsinspect import decoders
from wsinspect.decoders import Decoder, Payload
from wsinspect.decoders.limits import MAX_LINES


@pytest.mark.parametrize(
    "payload",
    [
        text('{"type":"message","id":"1"}'),
        text('{"type":1}'),
        text("hello"),
        text("42"),
        text("[1,2,3,4,5]"),
        text('{"message":"hi","identifier":"x"}'),
        text("SENDING\nx\n"),
        text(""),
        binary(b""),
        binary(b"\x00\x01\x02"),
        binary(b"\x89PNG\r\n\x1a\n"),
        binary(b"\x10\x05hello"),
    ],
)
def test_another_protocol_has_no_decoder(payload):
    assert names(payload) == []
    assert decoders.summary(payload) is None


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_no_bytes_raise(data, is_text, is_whole):
    for payload in (
        Payload(data, is_text, None, "", is_whole=is_whole),
        Payload(data, is_text, "mqtt", EIO, is_whole=is_whole),
        Payload(data, is_text, "v12.stomp", "/a/000/x/websocket?vsn=2&id=1", is_whole=is_whole),
    ):
        decoders.decoders_for(payload)
        decoders.summary(payload)
        for decoder in decoders.known():
            decoded = decoders.decode(decoder, payload._replace(is_whole=True))
            assert len(decoded.lines) <= MAX_LINES


#: How messages of the protocols begin and what is in them, to be put together in any way.
PIECES = st.sampled_from(
    (
        *(
            b"{",
            b"[",
            b"42[",
            b'0{"sid":',
            b"\x10",
            b"\x10\x0c\x00\x04MQTT",
            b"\x1e",
            b"\x1e{",
            b" ",
            b"\n",
            b"\r\n\r\n",
        ),
        *(
            b'"type":"connection_init"',
            b'"type":"connection_ack"',
            b'"type":1',
            b'"target":"a"',
            b"}",
            b"]",
            b"\x00",
        ),
        *(
            b'"identifier":"{\\"channel\\":\\"A\\"}"',
            b'null,"1","a:b","phx_reply",',
            b"SEND",
            b"CONNECTED",
            b"MESSAGE",
        ),
        *(b"a", b"h", b"o", b'a["x"]', b"\x92\x01\x80", b","),
    )
)
PLACES = st.sampled_from(("/", EIO, "/socket/websocket?vsn=2.0.0", "/hub?id=1", "/echo/000/abcd/websocket"))
OFFERED = (None, "mqtt", "v12.stomp", "graphql-ws", "graphql-transport-ws", "actioncable-v1-json", "chat")


@given(st.lists(PIECES, max_size=6), st.booleans(), st.sampled_from(OFFERED), PLACES, st.booleans())
def test_what_a_decoder_says_of_its_payloads_holds(pieces, is_text, subprotocol, path, is_whole):
    payload = Payload(b"".join(pieces), is_text, subprotocol, path, is_whole=is_whole)
    for decoder in decoders.known():
        if decoder.fits(payload):
            signs = decoder.signs_in(subprotocol, path, payload.data[:1])
            assert signs is not None, decoder.name
            assert not signs or any(sign in payload.data for sign in signs), decoder.name
    if decoders.summary(payload) is not None:
        signs = decoders.summary_signs(subprotocol, path, payload.data[:1])
        assert signs is not None
        assert not signs or any(sign in payload.data for sign in signs)


def test_a_decoder_can_be_registered_replaced_and_withdrawn():
    mine = Decoder("mine", lambda one: one.data[:1] == b"!", lambda one: iter([one.text]), lambda one: "mine")
    decoders.register(mine)
    try:
        assert names(text("!x")) == ["mine"]
        assert decoders.summary(text("!x")) == "mine"
        assert list(decoders.decode(mine, text("!x")).lines) == ["!x"]
    finally:
        decoders.unregister("mine")
    assert names(text("!x")) == []
    decoders.register(Decoder("stomp", lambda one: False, lambda one: iter(()), lambda one: None))
    assert names(stomp(b"\n")) == []
    decoders.unregister("stomp")
    assert names(stomp(b"\n")) == ["stomp"]
