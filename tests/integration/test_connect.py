"""`wsinspect connect` and `wsinspect mock` as commands: exit codes, JSON, and what is recorded."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO

import pytest

from tests.support import warm
from tests.support.certs import make_certificates
from tests.support.engine import private_environment
from tests.support.schemas import problems
from tests.support.small_servers import echo_server, free_port

SCRIPT = """\
version: 1
path: /chat
subprotocols: [chat.v1]
rules:
  - {on: open, send: {type: welcome}}
  - {on: 'json:$.type=ask', send: {type: answer, id: '{{$.id}}'}}
  - {on: 'op:text restart', close: {code: 1012, reason: restart}}
  - {on: 'op:text die', abort: fin}
"""


class Lab:
    """A folder with a mock server that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = private_environment(folder)
        (folder / "chat.yaml").write_text(SCRIPT)
        words = ["mock", "chat.yaml", "--json"]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self.mock = warm.start(words, folder=folder, environment=self.environment, stderr=self.errors)
        assert self.mock.stdout is not None
        listening = json.loads(self.mock.stdout.readline())
        assert problems("mock", listening) == []
        self.url = listening["url"]

    def run(self, *words: str, stdin: IO[bytes] | None = None) -> subprocess.CompletedProcess[str]:
        done = warm.run(words, folder=self.folder, environment=self.environment, stdin=stdin)
        assert "Traceback" not in done.stderr
        return done

    def connect(self, *arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("connect", url or self.url, *arguments)

    def stop(self) -> list[dict]:
        self.mock.send_signal(signal.SIGINT)
        assert self.mock.stdout is not None
        lines = [json.loads(line) for line in self.mock.stdout.read().splitlines()]
        self.mock.wait(30)
        self.mock.stdout.close()
        self.errors.close()
        return lines


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("connect"))
    yield lab
    lab.stop()


def test_a_session_is_scripted_and_recorded(lab):
    done = lab.connect(
        "--subprotocol=chat.v1",
        "--header=X-Test: 1",
        "--cookie=a=b",
        "--name=session",
        "--expect=json:$.type=welcome",
        '--send={"type":"ask","id":{{random 7 7}}}',
        "--expect=json:$.id=7",
        "--send=/ping x",
        "--expect=op:pong",
        "--send=restart",
        "--expect=op:close",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [problem for line in lines for problem in problems("connect", line)] == []
    assert lines[0]["subprotocol"] == "chat.v1"
    assert [line["held"] for line in lines if line["event"] == "expected"] == [True] * 4
    assert lines[-1]["server"] == {"code": 1012, "reason": "restart"}
    capture = json.loads(lab.run("show", "session", "1", "--payload", "--json").stdout)
    assert capture["connection"]["url"] == lab.url
    request = capture["handshake"]["heads"]["request_in"]
    assert "X-Test: 1\r\n" in request
    assert "Cookie: a=b\r\n" in request
    assert capture["handshake"]["changed_by_proxy"] == {"request": [], "response": []}
    assert [one.get("json", {}).get("type") for one in capture["messages"]] == [
        "welcome",
        "ask",
        "answer",
        None,
    ]
    replayed = lab.run("replay", "session", "--to", lab.url)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


@pytest.mark.slow
def test_a_server_that_chose_no_subprotocol_is_one_that_browsers_refuse(lab):
    done = lab.connect("--subprotocol=other", "--expect=json:$.type=welcome")
    assert done.returncode == 0
    assert "no subprotocol: browsers fail the connection here)" in done.stderr
    assert "type a message" not in done.stderr, "a script leaves by itself"
    assert "no subprotocol" not in lab.connect("--expect=json:$.type=welcome").stderr


def test_a_recording_becomes_a_mock_that_is_played_again(lab):
    assert lab.connect("--capture=short.db", "--send=restart", "--expect=op:close").returncode == 0
    assert lab.run("export", "short.db", "--format=mock", "-o", "made.yaml", "--force").returncode == 0
    done = lab.run("mock", "--check", "made.yaml")
    assert (done.returncode, done.stdout) == (0, "made.yaml: 3 steps, 0 rules\n")


@pytest.mark.slow
def test_lines_on_stdin_are_a_script(lab):
    lines = '/expect welcome\n\n/json {"type":"ask","id":1}\n/expect json:$.id=1\n/close 1001 bye'
    (lab.folder / "lines").write_text(lines)
    with (lab.folder / "lines").open("rb") as stdin:
        done = lab.run("connect", lab.url, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert re.search(r'<  \{"type":"answer","id":1\}$', done.stdout, re.M)
    assert "closed by you: 1001 going away" in done.stderr
    assert "wsinspect show " in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--expect=nothing", "--within=100ms"], "expected nothing: not within"),
        (["--send=die", "--wait=20s"], "WS-DROP-006"),
    ],
)
def test_what_was_not_as_expected_is_exit_code_1(lab, arguments, words):
    done = lab.connect(*arguments)
    assert done.returncode == 1
    assert words in done.stdout + done.stderr


@pytest.mark.slow
def test_a_refusal_shows_the_answer_and_its_finding(lab):
    done = lab.connect("--send=x", url=lab.url.replace("/chat", "/other"))
    assert done.returncode == 1
    assert "HTTP/1.1 404 Not Found" in done.stderr
    assert "this mock only answers /chat" in done.stderr
    assert re.search(r"^error  WS-HS-\d+", done.stderr, re.M)
    nobody = lab.connect("--send=x", "--json", url=f"ws://127.0.0.1:{free_port()}")
    assert nobody.returncode == 1
    lines = [json.loads(line) for line in nobody.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["refused", "finding"]
    assert [problem for line in lines for problem in problems("connect", line)] == []
    assert lines[0]["status"] is None, "the 502 is the proxy's in between"
    assert lines[0]["error"].endswith(": connection refused")
    [error] = [json.loads(line) for line in nobody.stderr.splitlines()]
    assert (error["error"], error["code"]) == (lines[0]["error"], 1)
    assert error["fix"].startswith("Start the server")


@pytest.mark.slow
def test_who_cannot_be_reached_is_said_as_a_client_without_the_proxy_would(lab):
    """However the proxy in between fails: its own 502 is no answer of the server's."""
    hangs_up = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        hangs_up.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()
    certificates = make_certificates(lab.folder)
    with hangs_up, echo_server(certificates.server_context()) as secure, echo_server() as plain:
        for url, words in (
            (f"ws://127.0.0.1:{free_port()}/", "connection refused"),
            ("ws://no-such-name.invalid/", "Name or service not known"),
            (f"wss://localhost:{secure}/", "TLS with the server failed: "),
            (f"wss://localhost:{plain}/", "TLS with the server failed: "),
            (f"ws://127.0.0.1:{hangs_up.getsockname()[1]}/", "server ended the connection before a response"),
        ):
            done = lab.connect("--send=x", url=url)
            assert done.returncode == 1
            assert f"wsinspect: no answer from {url}: " in done.stderr
            assert words in done.stderr.splitlines()[0]
            assert "502 Bad Gateway" not in done.stderr


@pytest.mark.slow
def test_a_server_that_answers_502_has_answered(lab):
    """Also where it is a proxy of ours, whose server cannot be reached."""
    words = ["run", "--headless", "--json", "--listen=0", f"--reverse=http://127.0.0.1:{free_port()}"]
    proxy = warm.start(words, folder=lab.folder, environment=lab.environment, stderr=lab.errors)
    try:
        assert proxy.stdout is not None
        ready = json.loads(proxy.stdout.readline())
        beyond = lab.connect("--send=x", "--json", url=f"ws://127.0.0.1:{ready['listeners'][0]['port']}/")
        through = lab.connect(f"--through={ready['pid']}", "--send=x", "--json", url="ws://elsewhere.test/")
    finally:
        proxy.send_signal(signal.SIGINT)
        assert proxy.stdout is not None
        proxy.stdout.read()
        proxy.wait(30)
        proxy.stdout.close()
    answered, unreached = json.loads(beyond.stdout.splitlines()[0]), json.loads(through.stdout)
    assert (answered["status"], answered["error"], beyond.stderr) == (502, None, "")
    assert unreached["status"] is None
    assert unreached["error"].endswith(": connection refused")
    assert json.loads(through.stderr)["error"] == unreached["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--send=/pign"], "did you mean /ping"),
        (["--send={{what}}"], "unknown placeholder"),
        (["--expect=op:nope"], "nope"),
        (["--header=x"], "Name: value"),
        (["--send=@nowhere"], "cannot read nowhere"),
        (["--send=@."], "cannot read .: Is a directory"),
        (["--capture=a.db", "--name=b"], "--name"),
    ],
)
def test_what_cannot_be_read_is_exit_code_2(lab, arguments, words):
    done = lab.connect(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.slow
def test_certificates_are_verified_unless_told_otherwise(lab):
    certificates = make_certificates(lab.folder)
    with echo_server(certificates.server_context()) as port:
        url = f"wss://localhost:{port}/"
        distrusted = lab.connect("--send=x", url=url)
        trusted = lab.connect(f"--ca={certificates.ca}", "--send=hi", "--expect=hi", url=url)
        insecure = lab.connect("--insecure", "--send=hi", "--expect=hi", url=url)
    assert distrusted.returncode == 1
    assert "WS-TLS-" in distrusted.stderr
    assert (trusted.returncode, insecure.returncode) == (0, 0), trusted.stderr


@pytest.mark.slow
def test_a_reverse_proxy_that_is_used_says_which_server_it_is_in_front_of(lab):
    words = ["run", "--headless", "--json", "--listen=0", f"--reverse={lab.url.replace('ws:', 'http:')}"]
    words[-1] = words[-1].removesuffix("/chat")
    proxy = warm.start(words, folder=lab.folder, environment=lab.environment, stderr=lab.errors)
    try:
        assert proxy.stdout is not None
        through = f"--through={json.loads(proxy.stdout.readline())['pid']}"
        other = lab.connect(through, "--expect=welcome", url="ws://elsewhere.test/chat")
        same = lab.connect(through, "--expect=welcome")
        combined = lab.connect(through, "--name=x", "--expect=welcome")
    finally:
        proxy.send_signal(signal.SIGINT)
        assert proxy.stdout is not None
        rest = proxy.stdout.read()
        proxy.wait(30)
        proxy.stdout.close()
    assert (other.returncode, same.returncode) == (0, 0), other.stderr + same.stderr
    server = words[-1].removeprefix("--reverse=")
    assert f"connected to ws://elsewhere.test/chat, by the reverse proxy of {server} (101" in other.stderr
    assert f"connected to {lab.url} (101" in same.stderr
    assert combined.returncode == 2
    assert sum(json.loads(line)["event"] == "open" for line in rest.splitlines()) == 2
    assert lab.connect("--through=1", "--send=x").returncode == 2


@pytest.mark.slow
def test_an_interrupted_client_says_where_what_it_saw_is(lab):
    words = ["connect", lab.url, "--name=interrupted", "--send=hello", "--wait=60s"]
    with tempfile.TemporaryFile() as errors:
        client = warm.start(words, folder=lab.folder, environment=lab.environment, stderr=errors)
        assert client.stdout is not None
        while b"welcome" not in client.stdout.readline():
            assert client.poll() is None
        client.send_signal(signal.SIGINT)
        assert client.wait(30) == 130
        client.stdout.close()
        errors.seek(0)
        said = errors.read().decode()
    assert "interrupted.db; to view it: wsinspect show interrupted 1\n" in said
    assert "welcome" in lab.run("show", "interrupted", "1").stdout


def test_a_file_that_is_not_there_is_noticed_before_anything_is_started(tmp_path):
    words = ["connect", "ws://127.0.0.1:1", "--send=hello", "--send=@nowhere"]
    done = warm.run(words, folder=tmp_path, environment=private_environment(tmp_path))
    assert done.returncode == 2
    assert "cannot read nowhere: No such file" in done.stderr
    assert list(tmp_path.rglob("*.db")) == []


@pytest.mark.slow
def test_a_client_that_a_signal_ends_has_its_exit_code_whenever_it_comes(lab):
    words = ["connect", lab.url, "--send=hello", "--wait=60s"]
    client = warm.start(words, folder=lab.folder, environment=lab.environment, stderr=lab.errors)
    assert client.stdout is not None
    while b"welcome" not in client.stdout.readline():
        assert client.poll() is None
    client.send_signal(signal.SIGTERM)
    assert client.wait(30) == 128 + signal.SIGTERM  # as before it has a handler
    client.stdout.close()


@pytest.mark.slow
def test_a_mock_prints_what_happens(tmp_path):
    lab = Lab(tmp_path)
    lab.connect("--subprotocol=chat.v1", "--send=restart", "--expect=op:close")
    lines = lab.stop()
    assert [problem for line in lines for problem in problems("mock", line)] == []
    assert {"open", "frame", "close"} <= {line["event"] for line in lines}
    assert lines[0]["path"] == "/chat"
