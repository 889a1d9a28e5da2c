"""Any traffic through any format and back: JSONL loses nothing, HAR keeps what was said and when."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.chats import Chat, random_capture, rows, said, store
from tests.support.examples import examples
from wsinspect.capture.reader import Capture
from wsinspect.formats.har_writer import write_har
from wsinspect.formats.importing import import_file
from wsinspect.formats.jsonl_writer import write_jsonl

SOME = examples(20)
MESSAGES = st.lists(
    st.tuples(st.booleans(), st.text(max_size=30) | st.binary(max_size=30), st.integers(0, 5_000_000_000)),
    max_size=12,
)


def through(folder: Path, path: Path, write, name: str) -> Path:
    out = io.BytesIO()
    with Capture.open(path) as capture:
        write(capture, out, include_secrets=True)
    (folder / name).write_bytes(out.getvalue())
    import_file(folder / name, folder / f"{name}.db")
    return folder / f"{name}.db"


@SOME
@given(seed=st.integers(0, 1 << 32))
def test_jsonl_gives_the_same_rows(seed):
    with tempfile.TemporaryDirectory() as name:
        path = random_capture(Path(name) / "a.db", seed, chunks=60)
        assert rows(through(Path(name), path, write_jsonl, "x.jsonl")) == rows(path)


@SOME
@given(messages=MESSAGES)
def test_har_gives_the_same_messages_at_the_same_nanosecond(messages):
    script = Chat()
    script.accept(1)
    for from_server, content, pause_ns in messages:
        script.now += pause_ns
        opcode = 1 if isinstance(content, str) else 2
        payload = content.encode() if isinstance(content, str) else content
        (script.server if from_server else script.client)(1, payload, opcode=opcode)
    with tempfile.TemporaryDirectory() as name:
        path = store(Path(name) / "a.db", script)
        assert said(through(Path(name), path, write_har, "x.har"), 1) == said(path, 1)


@SOME
@given(seed=st.integers(0, 1 << 32))
def test_har_of_any_traffic_is_read_again(seed):
    with tempfile.TemporaryDirectory() as name:
        path = random_capture(Path(name) / "a.db", seed, chunks=60)
        target = through(Path(name), path, write_har, "x.har")
        with Capture.open(path) as before, Capture.open(target) as after:
            for one in before.connections():
                count = len(before.messages(one.id, limit=100_000))
                again = len(after.messages(one.id, limit=100_000))
                assert again == count
