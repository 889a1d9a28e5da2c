"""Any bytes as any format, and real files damaged anywhere: a capture or one clear line, never anything
else."""

from __future__ import annotations

import functools
import io
import json
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy.addons.savehar import SaveHar

from tests.support.chats import chat_capture
from tests.support.examples import examples
from tests.support.flows import websocket_flow, written
from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError
from wsinspect.formats.har_writer import write_har
from wsinspect.formats.importing import FORMATS, import_file
from wsinspect.formats.jsonl_writer import write_jsonl

SOME = examples(60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@functools.cache
def real_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = chat_capture(Path(folder) / "a.db")
        har, jsonl = io.BytesIO(), io.BytesIO()
        with Capture.open(path) as capture:
            write_har(capture, har)
            write_jsonl(capture, jsonl)
    flows = written(websocket_flow(close_code=1000))
    stock = json.dumps(SaveHar().make_har([websocket_flow()])).encode()
    return {"har": har.getvalue(), "jsonl": jsonl.getvalue(), "flows": flows, "stock": stock}


def attempt(content: bytes, file_format: str | None) -> None:
    """Import, and read what came out."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "x", Path(folder) / "x.db"
        source.write_bytes(content)
        try:
            import_file(source, target, file_format=file_format)
        except CaptureError as error:
            is_one_line = str(error) and "\n" not in str(error)
            assert is_one_line and not target.exists()  # noqa: PT018
        else:
            with Capture.open(target) as capture:
                for one in capture.connections(limit=50):
                    capture.handshake(one.id)
                for message in capture.messages(limit=50):
                    capture.message_payload(message)
        assert {path.name for path in Path(folder).iterdir()} <= {"x", "x.db"}


@SOME
@given(content=st.binary(max_size=200), file_format=st.sampled_from([*FORMATS, None]))
@example(content=b"\xef\xbb\xbf{", file_format="har")
@example(content=b"1:1#", file_format="flows")
def test_any_bytes(content, file_format):
    attempt(content, file_format)


@SOME
@given(
    kind=st.sampled_from(["har", "jsonl", "flows", "stock"]),
    at=st.floats(0, 1),
    cut=st.integers(0, 40),
    put=st.binary(max_size=20),
)
def test_real_files_damaged_anywhere(kind, at, cut, put):
    content = real_files()[kind]
    place = int(at * len(content))
    attempt(content[:place] + put + content[place + cut :], {"stock": "har"}.get(kind, kind))


@SOME
@given(kind=st.sampled_from(["har", "jsonl", "flows", "stock"]), at=st.floats(0, 1))
def test_real_files_cut_off_anywhere(kind, at):
    content = real_files()[kind]
    attempt(content[: int(at * len(content))], {"stock": "har"}.get(kind, kind))


@SOME
@given(data=st.data())
def test_any_value_in_any_place_of_a_har(data):
    har = json.loads(real_files()["har"])
    entry = har["log"]["entries"][0]
    owners = [entry, entry["request"], entry["response"], entry["_wsinspect"], entry["_webSocketMessages"][0]]
    owners.append(entry["_wsinspect"]["control"][0])
    owner = data.draw(st.sampled_from(owners))
    owner[data.draw(st.sampled_from(sorted(owner)))] = data.draw(VALUES)
    attempt(json.dumps(har).encode(), "har")


@SOME
@given(data=st.data())
def test_any_value_in_any_place_of_a_jsonl_export(data):
    lines = [json.loads(line) for line in real_files()["jsonl"].splitlines()]
    line = data.draw(st.sampled_from(lines))
    line[data.draw(st.sampled_from(sorted(line)))] = data.draw(VALUES)
    attempt("\n".join(map(json.dumps, lines)).encode(), "jsonl")
