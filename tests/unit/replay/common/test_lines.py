"""A client of a played server: what it says, and what is answered by itself."""

from __future__ import annotations

from tests.support.streams import KEY
from wsinspect.replay.common.lines import Line
from wsinspect.replay.common.matching import Message
from wsinspect.wire.frame import serialize_frame


class Handler:
    """Notes what it is called with."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.problems: list[str] = []
        self.changes = 0

    def hear(self, message: Message) -> None:
        self.messages.append(message)

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def change(self) -> None:
        self.changes += 1


class WrittenLine(Line):
    """A line without a transport, whose bytes are kept."""

    def __init__(self) -> None:
        super().__init__(None)
        self.written = b""

    def write(self, wire: bytes) -> None:
        self.written += wire


def line() -> tuple[WrittenLine, Handler]:
    one, handler = WrittenLine(), Handler()
    one.begin(handler)
    return one, handler


def client(opcode: int, payload: bytes) -> bytes:
    return serialize_frame(opcode, payload, key=KEY)


def test_messages_are_heard_and_a_ping_is_answered():
    one, handler = line()
    one.on_data(client(1, b"hello") + client(9, b"x"))
    assert handler.messages == [Message(1, b"hello")]
    assert one.written == serialize_frame(10, b"x")
    assert handler.changes == 1


def test_the_first_close_counts_and_ends_what_is_live():
    one, handler = line()
    before = one.is_live
    assert before
    one.on_data(client(8, b"\x03\xe8") + client(8, b"\x03\xe9"))
    assert one.close == b"\x03\xe8"
    assert not one.is_live
    one.on_end("fin")
    assert handler.changes == 2


def test_a_client_that_breaks_the_protocol_is_read_and_reported():
    one, handler = line()
    one.on_data(serialize_frame(1, b"unmasked"))
    assert [message.data for message in handler.messages] == [b"unmasked"]
    assert handler.problems[0].startswith("the client breaks the protocol: ")


def test_a_close_of_ours_is_remembered():
    one, _ = line()
    before = one.has_sent_close
    assert not before
    one.send_close(b"\x03\xe8")
    assert one.written == serialize_frame(8, b"\x03\xe8")
    assert one.has_sent_close


def test_without_a_transport_nothing_happens():
    one = Line(None)
    one.begin(Handler())
    one.write(b"x")
    one.abort()
    one.hang_up()
    assert (one.ended, one.is_live, one.skips(b"x")) == (None, True, False)
