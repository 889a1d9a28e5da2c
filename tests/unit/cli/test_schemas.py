"""docs/schemas/: each command that prints JSON has a schema, and what it really prints fits."""

import json
from dataclasses import replace
from pathlib import Path

import click
import jsonschema_rs
import pytest

from tests.support import warm
from tests.support.doctor_lab import examine_server, http, replies, switching
from tests.support.schemas import COMMANDS, FOLDER, fits, problems, schema
from tests.unit.cli.maker import C2S, S2C, CaptureMaker, home
from wsinspect.cli.main import cli, execute
from wsinspect.cli.output import say
from wsinspect.errors import CaptureError
from wsinspect.launch.browser.devtools import ConsoleLine, Socket
from wsinspect.launch.browser.visiting import Visited
from wsinspect.launch.page import PageExamination, Tried
from wsinspect.present.terminal import json_line
from wsinspect.wire.opcodes import Opcode

NAMES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.iterdir())


def commands(command, context):
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, click.Context(below, info_name=name, parent=context))
    elif any(param.name == "as_json" for param in command.params):
        yield context.command_path.removeprefix("wsinspect ")


def test_every_command_that_prints_json_has_a_schema():
    assert set(commands(cli, click.Context(cli, info_name="wsinspect"))) == set(COMMANDS)
    assert set(NAMES) == {*COMMANDS.values(), "show-follow", "error"}


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_says_what_it_is_for(name):
    jsonschema_rs.meta.validate(schema(name))
    assert schema(name)["title"].startswith("wsinspect")
    assert schema(name)["description"]
    assert problems(name, {}) != []
    assert problems(name, {"schema": 2}) != []


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """A connection with a message, a ping, a violation and a close, and one that was refused."""
    maker = CaptureMaker(tmp_path_factory.mktemp("schemas") / "a.db")
    maker.attempt(1)
    maker.open(1)
    maker.frame(1, C2S, Opcode.TEXT, b'{"a": 1}', 10)
    maker.frame(1, S2C, Opcode.BINARY, b"\xff\xfe", 12)
    maker.frame(1, S2C, Opcode.PING, b"p", 13)
    maker.frame(1, C2S, Opcode.PONG, b"p", 14)
    maker.frame(1, S2C, Opcode.TEXT, b"\xff", 15)
    maker.frame(1, S2C, Opcode.CLOSE, b"\x03\xf0policy", 20)
    maker.closed(1, 22, side="server", how="fin")
    maker.attempt(2, 50)
    maker.refuse(2, b"no")
    return maker.finish()


def printed(folder, *arguments, code=0):
    done = warm.run([*map(str, arguments), "--json"], folder=folder, environment=home(folder))
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1"],
        ["1", "--payload"],
        ["2"],
        ["--filter", "op:text"],
        ["--filter", "path:/chat"],
        ["--sessions"],
        ["1", "--filter", "op:ctl", "--payload"],
    ],
)
def test_show(capture, tmp_path, arguments):
    assert len(fits("show", printed(tmp_path, "show", capture, *arguments))) == 1


@pytest.mark.parametrize("arguments", [[], ["1"], ["1", "--payload"]])
def test_show_follow(capture, tmp_path, arguments):
    assert fits("show-follow", printed(tmp_path, "show", capture, *arguments, "--follow"))


def test_diagnose(capture, tmp_path):
    [found] = fits("diagnose", printed(tmp_path, "diagnose", capture, code=1))
    assert found["findings"]
    empty = CaptureMaker(tmp_path / "empty.db").finish()
    fits("diagnose", printed(tmp_path, "diagnose", empty))
    fits("diagnose", printed(tmp_path, "diagnose", capture, "--origin", empty, code=1))


def test_explain(capture, tmp_path):
    fits("explain", printed(tmp_path, "explain", "1008", "--capture", capture))
    fits("explain", printed(tmp_path, "explain", "502 Bad Gateway"))
    fits("explain", printed(tmp_path, "explain", "nothing", code=1))


@pytest.mark.parametrize("name", ["refused", "accepted", "nobody"])
def test_doctor(name):
    reply = {
        "refused": lambda head: http("404 Not Found", b"no", Server="nginx"),
        "accepted": lambda head: switching(head),
        "nobody": lambda head: b"",
    }[name]
    found = examine_server(replies(reply))
    for include_secrets in (True, False):
        fits("doctor", json_line(found.as_json(include_secrets=include_secrets)))


@pytest.mark.parametrize("browser", ["chromium", None])
def test_doctor_of_a_page(browser):
    found = examine_server(replies(lambda head: http("404 Not Found", b"no")))
    tried = Tried(target=found.target, was_open=False)
    page = PageExamination(
        url="http://127.0.0.1/?token=opensesame",
        browser=browser,
        visited=Visited(
            lines=(ConsoleLine("error", "javascript", "to 'ws://h/?token=opensesame' failed"),),
            sockets=(Socket(url="ws://127.0.0.1/?token=opensesame", status=404, error=None),),
        ),
        findings=found.judgement.findings,
        examined=((tried, found),),
        why_read=None if browser else "no browser was found",
    )
    for one in (page, replace(page, examined=(), findings=())):
        fits("doctor", json_line(one.as_json(include_secrets=True)))
        assert "opensesame" not in json_line(one.as_json(include_secrets=False))


def test_small_commands(tmp_path):
    fits("ls", printed(tmp_path, "ls"))
    fits("ps", printed(tmp_path, "ps"))
    fits("ca", printed(tmp_path, "ca"))
    for name in ((), ("latency",), ("drop",), ("aws-alb",)):
        fits("faults", printed(tmp_path, "faults", "list", *name))
    scenario = tmp_path / "s.yaml"
    scenario.write_text("version: 1\nrules:\n  - {name: a, kind: drop, match: 'op:pong'}\n")
    fits("faults", printed(tmp_path, "faults", "validate", scenario))


@pytest.mark.parametrize(
    ("arguments", "code", "fix"),
    [
        (["show", "missing.db"], 2, None),
        (["show", "--nope"], 2, "see 'wsinspect show --help'"),
        (["diagnose", "missing.db"], 2, None),
        (["doctor", "ftp://a"], 2, "see 'wsinspect doctor --help'"),
        (["doctor", "ws://a", "--timeout", "1x"], 2, "see 'wsinspect doctor --help'"),
        (["explain", ""], 2, "see 'wsinspect explain --help'"),
        (["run", "--headless", "--listen", "99999"], 2, "see 'wsinspect run --help'"),
        (["run", "--headless", "--capture", "/proc/none/a.db", "--listen", "0"], 3, None),
        (["replay", "missing.db", "--to", "ws://127.0.0.1:1"], 2, None),
        (["ps", "x"], 2, "see 'wsinspect ps --help'"),
        (["stop"], 2, None),
        (["ca", "--ca-dir", "/proc/none"], 3, None),
        (["ls", "x"], 2, "see 'wsinspect ls --help'"),
        (["faults", "list", "nope"], 2, None),
        (["faults", "validate", "missing.yaml"], 2, None),
        (["check", "missing.yaml"], 2, None),
        (["show", "last"], 2, None),
        (["connect", "ftp://a"], 2, None),
        (["connect", "ws://a", "--send", "@missing"], 2, None),
        (["mock", "missing.yaml"], 2, None),
        (["serve", "missing.db"], 2, None),
        (["replay", "missing.db", "--serve", "0"], 2, None),
        (["check", "server-deploy", "--reverse", "http://127.0.0.1:1", "--", "no-such-program"], 3, None),
        (["run", "--headless", "--faults", "missing.yaml"], 2, None),
        (["run", "--headless", "--otlp", "nowhere", "--listen", "0"], 2, None),
    ],
)
def test_an_error_is_an_object_on_stderr(tmp_path, arguments, code, fix):
    at = arguments.index("--") if "--" in arguments else len(arguments)
    words = [*arguments[:at], "--json", *arguments[at:]]
    done = warm.run(words, folder=tmp_path, environment=home(tmp_path))
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    [found] = fits("error", done.stderr)
    assert found["code"] == code
    assert found["error"]
    if fix is not None:
        assert found["fix"] == fix


def test_what_was_typed_is_in_the_object(tmp_path):
    done = warm.run(
        ["doctor", "ws://a", "--timeout", "1x", "--json"], folder=tmp_path, environment=home(tmp_path)
    )
    assert json.loads(done.stderr)["excerpt"] == ["1x", " ^"]


def test_json_behind_two_dashes_is_not_ours(tmp_path):
    done = warm.run(["explain", "--", "--json"], folder=tmp_path, environment=home(tmp_path))
    assert done.stdout.startswith("Not recognised: --json")


@pytest.mark.parametrize("name", list(cli.list_commands(click.Context(cli))))
def test_an_option_that_no_command_has_is_an_object_of_each(capsys, name):
    words = [name, "--no-such-option", "--json"]
    code = execute(lambda: cli.main(words, prog_name="wsinspect", standalone_mode=False), as_json=True)
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    [found] = fits("error", said.err)
    assert found["code"] == 2


def test_what_a_run_says_of_old_captures_is_in_the_error(tmp_path):
    """A hint for people would be a line that is no object."""
    environment = home(tmp_path)
    listed = warm.run(["ls", "--json"], folder=tmp_path, environment=environment)
    captures = Path(json.loads(listed.stdout)["directory"])
    captures.mkdir(parents=True)
    CaptureMaker(captures / "old.db").finish()
    words = ["run", "--headless", "--reverse", "http://127.0.0.1:1", "--set", "nonsense=1", "--json"]
    done = warm.run(words, folder=tmp_path, environment=environment)
    [found] = fits("error", done.stderr)
    assert (done.returncode, done.stdout) == (found["code"], "")
    [note] = found["notes"]
    assert note.startswith("1 capture of earlier runs (")


def test_sentences_wait_until_the_end_is_known(capsys):
    def fails():
        say("a warning")
        raise CaptureError("no")

    def runs():
        say("a warning")
        return 0

    assert execute(fails, as_json=True) == 2
    [found] = fits("error", capsys.readouterr().err)
    assert (found["error"], found["notes"]) == ("no", ["a warning"])
    assert execute(runs, as_json=True) == 0
    assert capsys.readouterr().err == "wsinspect: a warning\n"
    assert execute(fails) == 2
    assert capsys.readouterr().err == "wsinspect: a warning\nwsinspect: no\n"
