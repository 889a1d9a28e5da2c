"""The border of the command line: lazy commands, one line for each error, exit codes, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.support import warm
from wsinspect.cli import main
from wsinspect.errors import CaptureError, LocalError, UpstreamError

ROOT = Path(main.__file__).parents[2]


def run(*args, home=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if home is not None:
        environment |= {"HOME": str(home), "XDG_DATA_HOME": "", "XDG_STATE_HOME": "", "XDG_RUNTIME_DIR": ""}
    return warm.run(args, folder=Path.cwd(), environment=environment)


def failing(error):
    def command():
        raise error

    return command


def test_version_names_what_matters_without_importing_it():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("wsinspect ")
    assert "mitmproxy 1" in done.stdout
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in done.stdout


def test_bare_and_help_list_the_commands():
    done, asked = run(), run("--help")
    assert done.returncode == asked.returncode == 0
    assert done.stdout == asked.stdout
    assert all(f"  {name} " in done.stdout for name in main.COMMANDS)


def test_a_group_without_its_command_prints_its_help_as_it_is(capsys):
    code = main.execute(lambda: main.cli.main(["faults"], prog_name="wsinspect", standalone_mode=False))
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("Usage: wsinspect faults ")
    assert "\n  validate " in said.err


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_of_every_command_ends_with_exit_codes_and_examples(name):
    context = click.Context(main.cli, info_name="wsinspect")
    command = main.cli.get_command(context, name)
    assert command is not None
    lines = command.get_help(click.Context(command, info_name=name, parent=context)).splitlines()
    start = lines.index("  Examples:")
    assert lines[start + 1].startswith("    ")
    assert all("wsinspect" in line for line in lines[start + 1 :])
    codes = lines[lines.index("  Exit codes:") + 1 : start - 1]
    assert [line.split()[0] for line in codes if line.split()[0] != "1"] == ["0", "2", "3", "130"]


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["show", "--help"], ["run", "--help"], ["ps"]])
def test_nothing_heavy_is_imported_for(args, tmp_path):
    code = f"""
import sys
from wsinspect.cli.main import main
try:
    main({args!r})
except SystemExit as left:
    assert not left.code, left.code
heavy = {{"mitmproxy", "textual", "rich", "sqlite3", "asyncio", "wsproto", "h11", "cryptography"}}
heavy &= set(sys.modules)
assert not heavy, heavy
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["nonsense"], "wsinspect: no such command 'nonsense' (see 'wsinspect --help')\n"),
        (["ps", "--x"], "wsinspect: no such option '--x' (see 'wsinspect ps --help')\n"),
        (
            ["run", "-p", "9200"],
            "wsinspect: no such option '-p' (here it is --listen [HOST:]PORT; see 'wsinspect run --help')\n",
        ),
        (
            ["connect", "ws://h", "--ssl-insecure"],
            "wsinspect: no such option '--ssl-insecure' (here it is --insecure; see",
        ),
        # A command without the like of it: nothing is promised.
        (["ps", "-p", "9200"], "wsinspect: no such option '-p' (see 'wsinspect ps --help')\n"),
        (
            ["run", "--revers", "http://h"],
            "wsinspect: no such option '--revers' (did you mean --reverse",
        ),
        (
            ["show", "--filter"],
            "wsinspect: option '--filter' requires an argument (see 'wsinspect show --help')\n",
        ),
        (["stop", "x"], "wsinspect: invalid value for '[PID]': 'x' is not a valid integer range (see"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(args, line, tmp_path):
    done = run(*args, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.replace("option: --x", "option '--x'").startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_wrong_quantity_has_a_caret_below_it(tmp_path):
    done = run("stop", "--timeout", "5 sec", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    quoted, caret, line = done.stderr.splitlines()
    assert (quoted, caret) == ("5 sec", "  ^")
    assert line.startswith(
        "wsinspect: invalid value for '--timeout': expected one of the units ns, us, ms, s"
    )


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UpstreamError("refused"), 1, "wsinspect: refused\n"),
        (CaptureError("no capture", hint="make one"), 2, "wsinspect: no capture (make one)\n"),
        (LocalError("port\x1b[31m taken\nby x"), 3, "wsinspect: port␛[31m taken by x\n"),
        (FileNotFoundError(2, "No such file", "/x"), 3, "wsinspect: /x: No such file\n"),
        (click.ClickException("bad."), 1, "wsinspect: bad\n"),
        (click.Abort(), 130, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(error, code, line, capsys):
    assert main.execute(failing(error)) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), ("text", 0)])
def test_what_a_command_returns_is_the_exit_code(result, code):
    assert main.execute(lambda: result) == code


def test_a_bug_is_one_line_that_names_a_crash_log(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main.execute(failing(KeyError("x"))) == 3
    captured = capsys.readouterr()
    assert captured.err.startswith("wsinspect: internal error: KeyError: 'x' (a bug; the details are in ")
    (log,) = (tmp_path / "wsinspect").iterdir()
    assert str(log) in captured.err
    assert log.stat().st_mode & 0o777 == 0o600
    assert "KeyError" in log.read_text()


def test_a_bug_is_said_when_its_log_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "wsinspect").write_bytes(b"")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main.execute(failing(OSError("odd"))) == 3
    assert "could not be written" in capsys.readouterr().err


def test_a_closed_pipe_ends_quietly():
    code = (
        "from wsinspect.cli.main import execute\nimport sys\nsys.exit(execute(lambda: print('x\\n' * 10**6)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_addons_prints_the_directory_of_the_scripts():
    done = run("addons")
    assert done.returncode == 0
    place = Path(done.stdout.strip())
    assert place.is_dir()
    assert all(script.name in done.stderr for script in place.glob("*.py"))


def test_nothing_is_imported_between_taking_interrupts_and_catching_them():
    """A KeyboardInterrupt that comes in such an import is a traceback."""
    code = (
        "import sys, wsinspect.cli.main as main\n"
        "known = set(sys.modules)\n"
        "main.cli.main = lambda *_words, **_options: print(sorted(set(sys.modules) - known))\n"
        "main.main(['ls'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
