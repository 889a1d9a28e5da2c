"""Whatever somebody pastes: `explain` ends, raises nothing, and prints and offers nothing that acts."""

import json
import shlex

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.explain.explaining import explain
from wsinspect.explain.reading import read_lines
from wsinspect.explain.table import patterns
from wsinspect.present.explanation import account_lines, unknown_lines
from wsinspect.present.terminal import Palette

EXAMPLES = st.sampled_from([example for one in patterns() for example in one.examples])
NASTY = st.sampled_from(
    ["\x1b[2J", "\x9b31m", "\u202e", "\x07", "\r", "'; reboot #", "$(x)", "://[", '{"', "\0"]
)
PIECES = st.lists(EXAMPLES | NASTY | st.text(max_size=20), max_size=6)


@given(st.one_of(st.binary(max_size=500), PIECES.map(lambda some: "".join(some).encode("utf-8", "replace"))))
def test_any_text(data):
    account = explain(read_lines(data))
    json.dumps(account.as_json())
    for line in (*account_lines(account, Palette()), *unknown_lines(account)):
        assert line.isprintable() or not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in line)
    for one in account.explanations:
        for command in one.next:
            assert command.isprintable()
            assert shlex.split(command)[0] == "wsinspect"
            assert len(shlex.split(command)) <= 6


@given(EXAMPLES, st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=3))
def test_the_same_text_says_the_same(example, around):
    data = "\n".join([*around, example]).encode()
    assert explain(read_lines(data)).as_json() == explain(read_lines(data)).as_json()
