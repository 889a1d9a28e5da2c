"""Scripts of mocks, made of captures: they are read again and say the same."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.unit.cli.maker import C2S, S2C, CaptureMaker
from wsinspect.errors import UsageError
from wsinspect.formats.choice import EVERYTHING
from wsinspect.formats.exporting import EXPORTERS
from wsinspect.formats.mock_writer import _document, _flow
from wsinspect.formats.progress import nobody
from wsinspect.peers.mock.script import Abort, Close, Expect, Script, Send, Wait, load_text
from wsinspect.peers.templates import Values, render, render_json
from wsinspect.recorder.opening import open_capture
from wsinspect.wire.opcodes import Opcode


def exported(path: Path) -> tuple[Script, str]:
    out = io.BytesIO()
    with open_capture(path) as capture:
        written = EXPORTERS["mock"].write(
            capture, out, choice=EVERYTHING, include_secrets=False, progress=nobody
        )
    return load_text(out.getvalue().decode(), "made.yaml"), "; ".join([written.summary, *written.notes])


def test_what_a_server_said_becomes_steps(tmp_path):
    maker = CaptureMaker(tmp_path / "a.db")
    maker.attempt(1)
    maker.open(1)
    maker.frame(1, S2C, Opcode.TEXT, b'{"type":"hello"}', 10)
    maker.frame(1, C2S, Opcode.TEXT, b'{"type":"login","user":"jo"}', 20)
    maker.frame(1, C2S, Opcode.TEXT, b"plain", 21)
    maker.frame(1, S2C, Opcode.TEXT, "no {{seq}} \u0085 \U0001f600 \x7f".encode(), 321)
    maker.frame(1, S2C, Opcode.BINARY, b"\xff\xfe", 322)
    maker.frame(1, C2S, Opcode.BINARY, b"\x00", 323)
    maker.frame(1, S2C, Opcode.CLOSE, b"\x03\xf4restart", 330)
    maker.closed(1, 332, side="server", how="fin")
    script, said = exported(maker.finish())
    first, login, plain, pause, text, binary, asked, close = script.script
    assert first == Send(Opcode.TEXT, {"type": "hello"})
    assert isinstance(login, Expect)
    assert login.filter is not None
    assert login.filter.source == "json:$.type=login"
    assert isinstance(plain, Expect)
    assert plain.filter is not None
    assert plain.filter.source == "op:text"
    assert pause == Wait(300_000_000)
    assert isinstance(text, Send)
    assert render(text.document, Values(lambda: 0, bytes)) == "no {{seq}} \u0085 \U0001f600 \x7f"
    assert binary == Send(Opcode.BINARY, data=b"\xff\xfe")
    assert isinstance(asked, Expect)
    assert close == Close(1012, "restart")
    assert "connection 1, 8 steps" in said


def test_an_end_without_a_close_is_an_abort(tmp_path):
    maker = CaptureMaker(tmp_path / "a.db")
    maker.attempt(1)
    maker.open(1)
    maker.closed(1, 30, side="server", how="rst")
    script, _ = exported(maker.finish())
    assert script.script == (Abort("rst"),)


def test_a_refused_handshake_is_refused_again(tmp_path):
    maker = CaptureMaker(tmp_path / "a.db")
    maker.attempt(1)
    maker.refuse(1, b"not today")
    script, said = exported(maker.finish())
    assert script.refuse is not None
    assert script.refuse.body == "not today"
    assert "0 steps" in said


def test_the_first_open_connection_is_played_and_the_others_named(tmp_path):
    maker = CaptureMaker(tmp_path / "a.db")
    maker.attempt(1)
    maker.refuse(1, b"no")
    for number in (2, 3):
        maker.attempt(number, 100 * number)
        maker.open(number)
        maker.frame(number, S2C, Opcode.TEXT, b"%d" % number, 100 * number + 10)
    script, said = exported(maker.finish())
    assert script.script == (Send(Opcode.TEXT, "2"),)
    assert "plays connection 2" in said


def test_an_empty_capture_has_nothing_to_play(tmp_path):
    with pytest.raises(UsageError):
        exported(CaptureMaker(tmp_path / "a.db").finish())


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@examples(60)
@given(st.one_of(st.text(max_size=20).map(str.encode), _JSON.map(lambda value: json.dumps(value).encode())))
def test_any_text_comes_out_of_the_script_as_it_was(data):
    text = f"version: 1\nscript:\n  - send: {_flow(_document(data))}\n"
    [step] = load_text(text).script
    assert isinstance(step, Send)
    values = Values(lambda: 0, bytes)
    if isinstance(step.document, str):
        assert render(step.document, values).encode() == data
    else:
        made = json.dumps(render_json(step.document, values), separators=(",", ":"), ensure_ascii=False)
        assert made.encode() == data
