"""Every command line that the documentation and the help texts show, and a place where they can be run.

A line is run as it stands, in a shell, but for what a reader has and a test has not: a server on port 3000, a
public host, a capture called `chat.db`. Those are put in their place by `SUBSTITUTES`.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click

from wsinspect.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
#: What a page shows that is run by somebody else, or cannot be run here; each with the reason. A line is left
#: out if the pattern is found in it.
LEFT_OUT = {
    r"^wsinspect (browser|serve|open)\b": "a browser or a terminal: e2e/test_browser_*, test_serve*",
    r"^(eval|.*completion fish >)": "another shell: integration/test_client_commands.py",
    r"--mode transparent": "root and iptables: integration/test_modes_transparent.py",
    r"--format parquet|--otlp|OTEL_": "an extra that is not installed: integration/test_telemetry.py, "
    "unit/formats/test_parquet_writer.py",
    r"\| jq ": "another program",
    r"^wsinspect doctor https": "a browser: e2e/test_doctor_page.py",
    r" -- (node|COMMAND|npm|python client)|^wsinspect check \S+ --reverse \S+$": "a client of the reader's: "
    "integration/test_check.py",
    r"^wsinspect (rm|stop)\b": "what other lines need: unit/cli/test_ls_rm.py, test_ps_stop.py",
    r"^wsinspect (replay --serve$|run --config)": "part of a sentence",
    r"\.\.\.": "shortened",
}
#: What a reader has, and what a test has instead. `{port}` is a server's that accepts every handshake.
SUBSTITUTES = {
    r"(?<=localhost:)(3000|5173)\b": "{port}",
    r"wss://(chat\.)?example\.com(/\w+)?": "ws://localhost:{port}/chat",
    r"wss://(echo|staging)\.example(/\w+)?": "ws://localhost:{port}/chat",
    r"https://(chat\.)?example\.(com|org)/?": "http://localhost:{port}/",
    r"(--listen|--serve) \d+": r"\1 0",
    r"=\d+=http://[\d.]+:\d+": "=0=http://localhost:{port}",
    r"@0\.0\.0\.0:8080": "@127.0.0.1:0",
    r"proxy\.example:3128": "localhost:{port}",
    r"/etc/nginx": "nginx",
    r"--idle (5m|90s)": "--idle 2s",
    r"\bURL\b": "ws://localhost:{port}/chat",
    r"\bhttps://PAGE\b": "http://localhost:{port}/",
    r"\bSCRIPT\.yaml\b": "chat.yaml",
    r"validate FILE": "validate outage.yaml",
    r"\bCAPTURE\b|\bFILE\b": "chat.db",
    r"\bA\.db B\.db\b": "edge.db origin.db",
    # What is written is new each time: an import does not write over a file.
    r"-o (?=[\w.]+\.\w)": '-o "$(mktemp -d)"/',
    r"\bPATH\b": "nginx",
    r"\bTEXT\b": "/ping",
    r"\bFILTER\b": "op:pong",
    r'"LINE"': '"net::ERR_CONNECTION_REFUSED"',
    r"\{\"type\":\"login\"\}": '{{"type":"login"}}',
    r"\s--follow\b": "",
    r"--to \S+": r"\g<0> --timeout 1s",  # this server does not know the answers
}
#: They serve until they are interrupted; each says so in a line with one of these words.
_ENDURING = re.compile(r"^wsinspect (run|mock(?! --)|replay .*--serve)|^mitmdump")
_IS_READY = re.compile(r"listening|serving|ready|playing", re.I)
_SECONDS = 60


def pages() -> list[Path]:
    """The pages that have command lines for users."""
    docs = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "findings.md")
    return [
        ROOT / "README.md",
        *docs,
        ROOT / "examples" / "README.md",
        ROOT / "wsinspect" / "agents" / "SKILL.md",
    ]


def blocks(text: str) -> Iterator[str]:
    """Blocks of code: in fences without a language or of a shell, and indented by four spaces."""
    rest = []
    for number, part in enumerate(re.split(r"^ *```", text, flags=re.M)):
        if number % 2:
            language, _, block = part.partition("\n")
            if language.strip() in ("", "sh", "console"):
                yield block
        else:
            rest.append(part)
    for found in re.finditer(r"(?:^|\n\n)((?: {4}[^\n]*(?:\n|$))+)", "\n\n".join(rest)):
        yield re.sub(r"^ {4}", "", found[1], flags=re.M)


def command_lines(text: str) -> Iterator[str]:
    """What a reader types: lines of blocks, and commands with arguments within sentences.

    What stands to the right of a command to explain it, after three spaces or a `#`, is not part of it.
    """
    yield from re.findall(r"`((?:wsinspect|mitmdump) [a-z][^`\n]* [^`\n]+)`", text)
    for block in blocks(text):
        for line in re.sub(r"\s*\\\n\s*|(?<=\|)\n\s*", " ", block).splitlines():
            bare = re.sub(r"^\$ ", "", line)
            if re.match(r"([A-Z_]+=\S+ )*(wsinspect [a-z]|mitmdump |eval \"\$\(wsinspect )", bare):
                yield re.split(r"\s{3,}|\s+#\s|\s+or: ", bare.strip())[0]


def help_lines() -> Iterator[tuple[str, str]]:
    """The examples at the end of each command's help: (command, line)."""
    pending: list[tuple[str, click.Command, click.Context]] = [("wsinspect", cli, click.Context(cli))]
    while pending:
        name, command, context = pending.pop()
        examples = command.get_help(context).partition("Examples:")[2]
        for line in command_lines("\n\n" + examples.lstrip("\n")):
            yield name, re.split(r"\s{2,}", line)[0]
        if isinstance(command, click.Group):
            for each in command.list_commands(context):
                one = command.get_command(context, each)
                assert one is not None
                pending.append((f"{name} {each}", one, click.Context(one, info_name=each, parent=context)))


def reason_not_to_run(line: str) -> str:
    """Why a line is left out; empty if it is run."""
    return next((why for pattern, why in LEFT_OUT.items() if re.search(pattern, line)), "")


def kind_of(line: str) -> tuple[str, ...]:
    """Command, options and endings of files: what has the same ones is run once."""
    command = re.findall(r"^(?:wsinspect )?[\w-]+", line)
    return (*command, *sorted(set(re.findall(r"--?[a-z][\w-]*|[.][a-z]+\b", line))))


def as_run(line: str, port: int) -> str:
    """The line with what a test has in the place of what a reader has."""
    for pattern, instead in SUBSTITUTES.items():
        line = re.sub(
            pattern, instead.replace("{port}", str(port)).replace("{{", "{").replace("}}", "}"), line
        )
    if line.startswith("wsinspect run"):
        line = line.replace("wsinspect run", "wsinspect run --headless", 1).replace(
            "--headless --headless", "--headless"
        )
        if "--listen" not in line and "--tap" not in line and "@" not in line:
            line += " --listen 0"
        line += ' --capture "$(mktemp -d)"/run.db'  # `last` stays the demo's
    if line.startswith("wsinspect connect"):
        line = line.replace("wsinspect connect", 'wsinspect connect --capture "$(mktemp -d)"/run.db', 1)
    if line.startswith("wsinspect demo"):
        line += " --headless --seconds 2"
    return line.replace("mitmdump ", "mitmdump --listen-port 0 ")


class Reader:
    """Somebody who has installed wsinspect and types what a page shows.

    Attributes:
        folder: where the lines are run; it has the files that the pages name.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        folder.mkdir(exist_ok=True)
        self._make_files()
        self._server, self.port = self._serve()

    def close(self) -> None:
        self._interrupt(self._server)

    def _make_files(self) -> None:
        self.call("wsinspect demo --headless --seconds 2")
        for name in ("har", "jsonl", "flows", "pcapng"):
            self.call(f"wsinspect export last -o chat.{name}")
        self.call("wsinspect import chat.jsonl -o chat.db")
        for name in ("edge", "origin", "browser", "server", "trace", "yesterday", "monday", "tuesday"):
            shutil.copy(self.folder / "chat.db", self.folder / f"{name}.db")
        for name in ("edge", "origin", "trace"):
            shutil.copy(self.folder / "chat.pcapng", self.folder / f"{name}.pcapng")
        shutil.copy(self.folder / "chat.har", self.folder / "page.har")
        (self.folder / "keys.log").touch()
        (self.folder / "session.txt").write_text("hello\n/ping\n")
        (self.folder / "chat.yaml").write_text(first_block("mock.md", "yaml"))
        (self.folder / "outage.yaml").write_text(first_block("check.md", "yaml"))
        (self.folder / "script.py").write_text(first_block("scripts.md", "python"))
        (self.folder / ".claude" / "skills" / "wsinspect").mkdir(parents=True)
        (self.folder / "nginx").mkdir()
        (self.folder / "nginx" / "nginx.conf").write_text(
            "events {}\nhttp { server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } } }\n"
        )

    def _serve(self) -> tuple[subprocess.Popen[bytes], int]:
        """The server on port 3000, which is a mock on any port here."""
        (self.folder / "server.yaml").write_text(
            "version: 1\nrules: [{on: 'op:text', send: {type: welcome}}]\n"
        )
        process, told = self.begin("wsinspect mock server.yaml --listen 0")
        found = re.search(r":(\d+)", told)
        assert found, told
        return process, int(found[1])

    def call(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line to its end.

        Raises:
            AssertionError: it was refused, or something of ours was raised; the message has what it printed.
        """
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        # 1 is an answer: something is wrong with what was asked about.
        assert done.returncode in (0, 1), f"{line}: exit code {done.returncode}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr, f"{line}\n{done.stderr[-3000:]}"
        assert done.stdout or done.stderr or done.returncode == 0, line
        return done

    def begin(self, line: str) -> tuple[subprocess.Popen[bytes], str]:
        """Start what serves, and wait until it says so. Returns the process and what it printed."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        told, end = b"", time.monotonic() + _SECONDS
        while not _IS_READY.search(told.decode("utf-8", "replace")) and time.monotonic() < end:
            if select.select([process.stdout], [], [], 0.2)[0]:
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    break
                told += piece
        text = told.decode("utf-8", "replace")
        if not _IS_READY.search(text) or process.poll() is not None:
            self._interrupt(process)
            raise AssertionError(f"{line}: does not serve: {text[-2000:]}")
        return process, text

    def _interrupt(self, process: subprocess.Popen[bytes]) -> tuple[int, str]:
        process.send_signal(signal.SIGINT)
        try:
            told = process.communicate(timeout=_SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return process.returncode, told.decode("utf-8", "replace")

    def type(self, line: str) -> None:
        """Run what a page shows: to its end, or until it serves and is interrupted.

        Raises:
            AssertionError: it is refused.
        """
        typed = as_run(line, self.port)
        if not _ENDURING.match(typed):
            self.call(typed)
            return
        process, _ = self.begin(typed)
        code, told = self._interrupt(process)
        assert code in (0, 130), f"{typed}: exit code {code}\n{told[-2000:]}"
        assert "Traceback" not in told, f"{typed}\n{told[-3000:]}"


def first_block(page: str, language: str) -> str:
    """The first block of this language on a page of docs/."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    assert found, page
    return found[1]
