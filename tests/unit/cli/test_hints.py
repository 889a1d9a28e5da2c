"""The first minutes: bare `wsinspect`, what a start advises, and completion."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mitmproxy.proxy.mode_specs import ProxyMode

from tests.support import warm
from tests.support.engine import private_environment
from wsinspect.cli.completion import MODES
from wsinspect.cli.hints import LAST, first_steps
from wsinspect.launch.engines import EngineInfo, RunFile
from wsinspect.proxy.modes import mode_tap

WSINSPECT = [sys.executable, "-m", "wsinspect"]


@pytest.mark.parametrize(
    ("mode", "host", "advice"),
    [
        ("regular", "127.0.0.1", "HTTP proxy 127.0.0.1:8080 for any client"),
        ("upstream:http://p:1", "0.0.0.0", "HTTP proxy 127.0.0.1:8080 for any client"),
        (
            "reverse:https://h:443",
            "::1",
            "use http://[::1]:8080 (or ws://, https://, wss://) in place of https://h:443",
        ),
        ("socks5", "::", "SOCKS5 proxy [::1]:8080"),
        ("transparent", "10.0.0.1", "redirect TCP to 10.0.0.1:8080"),
    ],
)
def test_every_listener_has_its_advice(mode, host, advice):
    first, last = first_steps([{"tap": "x", "mode": mode, "host": host, "port": 8080}])
    assert first.startswith(f"  {advice}")
    assert last == f"  {LAST}"


def test_a_mode_without_a_port_or_without_http_has_none():
    listeners: list[dict[str, object]] = [
        {"tap": "local", "mode": "local", "host": None, "port": None},
        {"tap": "dns", "mode": "dns", "host": "127.0.0.1", "port": 53},
        {"tap": "reverse", "mode": "reverse:tcp://h:1", "host": "127.0.0.1", "port": 8080},
    ]
    assert first_steps(listeners) == [f"  {LAST}"]


@pytest.mark.parametrize(
    ("words", "is_advised"),
    [
        ([], True),
        pytest.param(["-q"], False, marks=pytest.mark.slow),
        pytest.param(["--json"], False, marks=pytest.mark.slow),
    ],
)
def test_a_start_says_what_to_do_next_on_stderr(tmp_path, words, is_advised):
    arguments = ["run", "--headless", "--listen", "0", *words]
    read, write = os.pipe()
    with os.fdopen(read) as stderr:
        with os.fdopen(write, "wb") as other_end:
            process = warm.start(
                arguments, folder=tmp_path, environment=private_environment(tmp_path), stderr=other_end
            )
        assert process.stdout is not None
        with process.stdout as stdout:
            stdout.readline()
            if "--json" not in words:
                assert stdout.readline().startswith(b"recording to ")
            advice = [stderr.readline(), stderr.readline()] if is_advised else []
            process.send_signal(signal.SIGINT)
            rest = stderr.read()
            stdout.read()
    assert process.wait(30) == 0
    assert LAST not in rest
    if is_advised:
        assert "wsinspect browser" in advice[0]
        assert advice[1] == f"  {LAST}\n"


@pytest.mark.slow
def test_bare_on_a_terminal_runs_the_proxy(tmp_path):
    """It listens on the default port, or says that somebody has it, and SIGTERM ends it cleanly."""
    ours, theirs = pty.openpty()
    environment = {**private_environment(tmp_path), "TERM": "xterm"}
    with subprocess.Popen(
        WSINSPECT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: nobody holds the terminal any more
            while b"8080" not in seen:
                seen += os.read(ours, 65536)
        assert b"8080" in seen
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):
            while os.read(ours, 65536):
                pass
        process.wait(30)
    os.close(ours)


def complete(shell: str, words: list[str], environment: dict[str, str], folder: Path) -> list[str]:
    """What a shell would be offered for the last of these words."""
    variables = {
        "_WSINSPECT_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(["wsinspect", *words])
        if shell != "fish"
        else " ".join(["wsinspect", *words[:-1]]),
        "COMP_CWORD": str(len(words)) if shell != "fish" else words[-1],
    }
    done = warm.run([], folder=folder, environment={**environment, **variables})
    assert done.stderr == ""
    lines = list(filter(None, done.stdout.splitlines()))
    return lines[1::3] if shell == "zsh" else [line.split(",", 1)[1].split("\t")[0] for line in lines]


@pytest.fixture
def place(tmp_path):
    """A folder with captures and other things in it."""
    for name in ("a.db", "b.db", "notes.txt", ".hidden.db"):
        (tmp_path / name).touch()
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir/c.db").touch()
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_captures_are_completed(place, shell):
    environment = private_environment(place / "home")
    recorded = place / "home/data/wsinspect/captures"
    recorded.mkdir(parents=True)
    (recorded / "20260101-000000-1.db").touch()
    offered = complete(shell, ["show", ""], environment, place)
    assert offered == ["last", str(recorded / "20260101-000000-1.db"), "home/", "sub dir/", "a.db", "b.db"]
    assert complete(shell, ["show", "l"], environment, place) == ["last"]
    assert complete(shell, ["show", "b"], environment, place) == ["b.db"]
    assert complete(shell, ["show", ".h"], environment, place) == [".hidden.db"]
    assert complete(shell, ["show", f"{place}/a"], environment, place) == [f"{place}/a.db"]
    assert complete(shell, ["show", "no/such/"], environment, place) == []


def test_each_command_offers_the_files_that_it_reads(place):
    environment = private_environment(place / "home")
    (place / "page.har").touch()
    captures = ["home/", "sub dir/", "a.db", "b.db"]
    for words, offered in {
        ("open",): ["last", *captures],
        ("diagnose",): ["last", *captures, "page.har"],
        ("diagnose", "--origin"): captures,
        ("merge", "x.db"): captures,
        ("run", "--replay"): captures,
        ("replay", "a.db", "--also"): captures,
    }.items():
        assert complete("bash", [*words, ""], environment, place) == offered, words


def test_modes_and_filters_are_completed(tmp_path):
    environment = private_environment(tmp_path)
    assert complete("bash", ["run", "--mode", "re"], environment, tmp_path) == ["regular", "reverse:"]
    assert complete("bash", ["show", "--filter", "'dir:c2s op:ping,p"], environment, tmp_path) == [
        "dir:c2s op:ping,ping",
        "dir:c2s op:ping,pong",
    ]
    assert complete("bash", ["export", "--filter", "mask"], environment, tmp_path) == ["masked:"]


def test_the_modes_offered_are_mitmproxy_s():
    for name in MODES:
        spec = {"reverse:": "reverse:http://h:1", "upstream:": "upstream:http://h:1"}.get(name, name)
        assert mode_tap(spec).name == name.rstrip(":")
    assert {name.rstrip(":") for name in MODES} == set(vars(ProxyMode)["_ProxyMode__types"]) - {"osproxy"}


def test_commands_options_browsers_and_engines_are_completed(tmp_path):
    environment = private_environment(tmp_path)
    assert "browser" in complete("bash", ["br"], environment, tmp_path)
    assert "--mode" in complete("bash", ["run", "--m"], environment, tmp_path)
    assert complete("bash", ["completion", "z"], environment, tmp_path) == ["zsh"]
    assert complete("bash", ["browser", "--browser", "f"], environment, tmp_path) == ["firefox"]
    run_file = RunFile.create(EngineInfo(4_000_000, 1, "0"), tmp_path / "runtime/wsinspect")
    try:
        assert complete("bash", ["stop", "4"], environment, tmp_path) == ["4000000"]
    finally:
        run_file.close()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_program_and_its_variable(tmp_path, shell):
    done = warm.run(["completion", shell], folder=tmp_path, environment=private_environment(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "_WSINSPECT_COMPLETE" in done.stdout
    assert f"{shell}_complete" in done.stdout


def test_bash_takes_the_script_and_completes(tmp_path):
    """In a real bash, with a stand-in `wsinspect` on PATH."""
    program = tmp_path / "wsinspect"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m wsinspect "$@"\n')
    program.chmod(0o755)
    environment = private_environment(tmp_path)
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    script = (
        'eval "$(wsinspect completion bash)"; complete -p wsinspect >/dev/null || exit 4;'
        "COMP_WORDS=(wsinspect st); COMP_CWORD=1; _wsinspect_completion wsinspect; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "stop"), done.stderr
