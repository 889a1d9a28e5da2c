"""Our HAR is one in the eyes of a validator that others use."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.chats import chat_capture, random_capture
from wsinspect.capture.reader import Capture
from wsinspect.formats.har_writer import write_har

pytestmark = pytest.mark.lab
NODE = Path(__file__).parents[1] / "node"


def test_har_schema_finds_nothing_wrong(tmp_path):
    names = []
    for path in (chat_capture(tmp_path / "chat.db"), random_capture(tmp_path / "a.db", 5)):
        har = path.with_suffix(".har")
        with Capture.open(path) as capture, har.open("wb") as out:
            write_har(capture, out)
        names.append(str(har))
    broken = json.loads(Path(names[0]).read_text())
    del broken["log"]["entries"][0]["request"]["headers"]
    (tmp_path / "broken.har").write_text(json.dumps(broken))
    names.append(str(tmp_path / "broken.har"))
    done = subprocess.run(
        ["node", str(NODE / "har_validate.mjs"), *names], capture_output=True, text=True, check=True
    )
    chat, traffic, wrong = map(json.loads, done.stdout.splitlines())
    assert (chat, traffic) == ([], [])
    assert wrong
