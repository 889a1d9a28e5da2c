"""Recorded clients for other tools: each script is run, or read, by something that is not ours."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.chats import Chat, chat_capture, store
from wsinspect.capture.reader import Capture
from wsinspect.formats import clients_writer
from wsinspect.formats.clients_writer import ClientsWritten, write_k6, write_postman, write_websocat

TRICKY = ['it\'s "quoted" $HOME `id` \\n', "${1}</script>\u2028", "%s\t%d", "ünï 😀"]


def written(write: Callable[..., ClientsWritten], path: Path, **options: Any) -> tuple[ClientsWritten, str]:
    out = io.BytesIO()
    with Capture.open(path) as capture:
        result = write(capture, out, **options)
    return result, out.getvalue().decode()


def tricky(path: Path) -> Path:
    script = Chat()
    script.accept(1)
    for text in TRICKY:
        script.tick(20)
        script.client(1, text.encode())
    script.client(1, b"two\nlines")
    script.client(1, bytes(range(256)), opcode=2)
    script.server(1, b"an answer")
    script.end(1, "client")
    return store(path, script)


def test_websocat_gets_each_line_as_it_was(tmp_path: Path) -> None:
    """The shell itself plays it, into a websocat that writes down what it gets."""
    result, text = written(write_websocat, tricky(tmp_path / "a.db"), include_secrets=True)
    assert (result.messages, result.left_out) == (4, 2)
    fake = tmp_path / "websocat"
    fake.write_text('#!/bin/sh\nfor one; do printf "%s\\0" "$one"; done > args\ncat > said\n')
    fake.chmod(0o755)
    (tmp_path / "a.sh").write_text(text)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/nowhere"}
    subprocess.run(["sh", "a.sh"], cwd=tmp_path, env=environment, check=True, timeout=30)
    assert (tmp_path / "said").read_text().split("\n") == [*TRICKY, ""]
    arguments = (tmp_path / "args").read_text().split("\0")
    assert "-H=Authorization: Bearer t0k3n" in arguments
    assert arguments[-2] == "ws://chat.example:80/room?id=7&token=abc123"


def test_postman_gets_a_request_and_the_texts(tmp_path: Path) -> None:
    result, text = written(write_postman, tricky(tmp_path / "a.db"))
    assert (result.connections, result.messages, result.left_out) == (1, 5, 1)
    collection = json.loads(text)
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    [item] = collection["item"]
    assert item["request"]["url"]["raw"] == "ws://chat.example:80/room?id=7&token=***"
    assert item["request"]["url"]["query"] == [{"key": "id", "value": "7"}, {"key": "token", "value": "***"}]
    assert {"key": "Cookie", "value": "sid=***; theme=***"} in item["request"]["header"]
    assert all(one in item["request"]["description"] for one in TRICKY if "`" not in one)
    assert "no WebSocket requests" in collection["info"]["description"]


def test_secrets_are_masked_unless_asked(tmp_path: Path) -> None:
    path = chat_capture(tmp_path / "a.db")
    for write in (write_k6, write_postman, write_websocat):
        masked, plain = written(write, path)[1], written(write, path, include_secrets=True)[1]
        for secret in ("s3cr3t", "t0k3n", "abc123"):
            assert secret in plain
            assert secret not in masked


def test_scripts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients_writer, "_MOST_MESSAGES", 2)
    for write in (write_k6, write_postman, write_websocat):
        assert written(write, tricky(tmp_path / f"{write.__name__}.db"))[0].messages <= 2


def test_a_capture_without_connections(tmp_path: Path) -> None:
    path = store(tmp_path / "a.db", Chat())
    assert json.loads(written(write_postman, path)[1])["item"] == []
    assert written(write_k6, path)[0].connections == 0


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.lab
def test_k6_plays_the_client(tmp_path: Path) -> None:
    """By Node, with modules of k6's names that write down what the script does."""
    text = written(write_k6, tricky(tmp_path / "a.db"))[1]
    modules = {
        "websockets": """
            export class WebSocket {
              constructor(url, protocols, params) {
                this.readyState = 1;
                console.log(JSON.stringify(["open", url, protocols, params.headers]));
                setTimeout(() => this.onopen(), 1);
              }
              send(data) {
                const said = typeof data === "string" ? data : Buffer.from(data).toString("base64");
                console.log(JSON.stringify(["send", said]));
              }
              close() { this.readyState = 3; this.onclose(); }
            }
        """,
        "encoding": (
            "export const b64decode = (text) => { const b = Buffer.from(text, 'base64'); "
            "return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); };"
        ),
        "timers": "const it = globalThis.setTimeout; export { it as setTimeout };",
        "index": (
            "export const check = (value, checks) => { for (const [name, test] of Object.entries(checks)) "
            "console.log(JSON.stringify(['check', name, test(value)])); };"
        ),
    }
    package = tmp_path / "node_modules" / "k6"
    package.mkdir(parents=True)
    names = {f"./{name}" if name != "index" else ".": f"./{name}.mjs" for name in modules}
    (package / "package.json").write_text(json.dumps({"name": "k6", "exports": names}))
    for name, code in modules.items():
        (package / f"{name}.mjs").write_text(code)
    (tmp_path / "a.mjs").write_text(text)
    (tmp_path / "run.mjs").write_text('import play from "./a.mjs"; play();')
    run = subprocess.run(
        ["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
    )
    first, *rest = map(json.loads, run.stdout.rstrip("\n").split("\n"))
    assert first[:3] == ["open", "ws://chat.example:80/room?id=7&token=***", []]
    binary = base64.b64encode(bytes(range(256))).decode()
    assert rest == [
        *(["send", one] for one in [*TRICKY, "two\nlines", binary]),
        ["check", "opened as recorded", True],
    ]
