"""Text checks and open messages."""

from __future__ import annotations

import pytest

from wsinspect.wire.messages import INTERRUPTED, OVER_CAP, OpenMessage, TextCheck, is_utf8


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", True),
        (b"plain", True),
        ("κόσμε 😀".encode(), True),
        (b"\xc3", False),
        (b"\xc0\x80", False),
        (b"\xed\xa0\x80", False),
        (b"\xf4\x90\x80\x80", False),
    ],
)
def test_utf8_is_what_rfc_3629_says(data, expected):
    assert is_utf8(data) is expected
    check = TextCheck()
    for index in range(len(data)):
        check.feed(data[index : index + 1])
    check.feed(b"", final=True)
    assert check.is_valid is expected


def test_a_text_check_continues_in_the_middle_of_a_character():
    check = TextCheck()
    check.feed("€".encode()[:2])
    again = TextCheck(check.state())
    again.feed("€".encode()[2:] + b"ok", final=True)
    assert again.is_valid
    broken = TextCheck(check.state())
    broken.feed(b"ascii")
    assert not broken.is_valid
    assert broken.state() == "invalid"
    still = TextCheck(broken.state())
    still.feed(b"fine")
    assert not still.is_valid


def open_message(*, text: TextCheck | None, compressed: bool = False) -> OpenMessage:
    return OpenMessage(ordinal=3, opcode=1, first_frame=7, compressed=compressed, text=text)


def test_text_is_judged_when_all_of_it_was_seen_or_it_is_wrong_already():
    assert open_message(text=None).to_message(None, None).valid_text is None
    check = TextCheck()
    assert open_message(text=check).to_message(None, None).valid_text is True
    assert open_message(text=check).to_message(None, OVER_CAP).valid_text is True
    assert open_message(text=check).to_message(None, INTERRUPTED).valid_text is None
    check.feed(b"\xff")
    assert open_message(text=check).to_message(None, INTERRUPTED).valid_text is False


@pytest.mark.parametrize("text", [None, TextCheck("e2")])
def test_an_open_message_is_made_again_from_its_state(text):
    message = open_message(text=text)
    message.last_frame, message.length = 9, 100
    again = OpenMessage.from_state(message.state())
    assert again.state() == message.state()
    assert again.to_message(None, None) == message.to_message(None, None)
    assert not again.inflates
