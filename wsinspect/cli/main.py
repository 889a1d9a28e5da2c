"""The `wsinspect` command: a group that imports a command when it is called, and the border for errors.

Contract (exit codes): 0 fine, 1 the thing checked failed, 2 wrong usage or unreadable input, 3 a local
reason, 130 interrupted. Every error is one line on stderr, a bug of ours too: its traceback goes to a file
that the line names. A reader that closes our stdout ends us quietly. What a command returns is its exit code;
None is 0.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from wsinspect.cli.options import examples
from wsinspect.cli.output import hold, release
from wsinspect.errors import WsinspectError
from wsinspect.launch.interrupts import nothing_to_end
from wsinspect.text import escape

PROGRAM = "wsinspect"
EXIT_LOCAL, EXIT_INTERRUPTED = 3, 130


class _Lazy(NamedTuple):
    place: str
    summary: str


COMMANDS = {
    "run": _Lazy("wsinspect.cli.run:run", "Start the proxy and record the traffic."),
    "demo": _Lazy(
        "wsinspect.cli.demo:demo", "See it work: an embedded server, two clients and a misconfigured hop."
    ),
    "open": _Lazy("wsinspect.cli.open:open_", "Open the timeline of a capture, live or old."),
    "serve": _Lazy("wsinspect.cli.serve:serve", "Show the timeline of a capture in a browser."),
    "show": _Lazy("wsinspect.cli.show:show", "List the connections of a capture, or the frames of one."),
    "doctor": _Lazy("wsinspect.cli.doctor:doctor", "Find out why a WebSocket URL fails, by asking it."),
    "diagnose": _Lazy(
        "wsinspect.cli.diagnose:diagnose", "Explain what went wrong, where, and how to fix it."
    ),
    "explain": _Lazy(
        "wsinspect.cli.explain:explain", "Say what a console line, error, close code or log line means."
    ),
    "check": _Lazy("wsinspect.cli.check:check", "Check how a client copes with a scenario of faults."),
    "connect": _Lazy("wsinspect.cli.connect:connect", "Open a WebSocket and type into it, or script it."),
    "mock": _Lazy("wsinspect.cli.mock:mock", "Serve WebSockets from a script, without a recording."),
    "replay": _Lazy("wsinspect.cli.replay:replay", "Replay a capture, as client or as server."),
    "export": _Lazy(
        "wsinspect.cli.export:export", "Write a capture as HAR, JSONL, packets or a mock script."
    ),
    "report": _Lazy("wsinspect.cli.report:report", "Write a capture as one HTML page."),
    "import": _Lazy(
        "wsinspect.cli.import_:import_", "Convert packets, HAR, JSONL or mitmproxy flows to a capture."
    ),
    "merge": _Lazy("wsinspect.cli.merge:merge", "Merge captures into one, on one time axis."),
    "faults": _Lazy("wsinspect.cli.faults:faults", "List fault kinds and presets, check scenario files."),
    "ls": _Lazy("wsinspect.cli.ls:ls", "List the captures in the default directory."),
    "rm": _Lazy("wsinspect.cli.rm:rm", "Delete captures."),
    "ps": _Lazy("wsinspect.cli.ps:ps", "List running engines."),
    "stop": _Lazy("wsinspect.cli.stop:stop", "Stop a running engine."),
    "browser": _Lazy("wsinspect.cli.browser:browser", "Open a browser that goes through the proxy."),
    "ca": _Lazy("wsinspect.cli.ca:ca", "Show where the CA certificate is, and how to trust it."),
    "completion": _Lazy("wsinspect.cli.completion:completion", "Print a completion script for a shell."),
    "skill": _Lazy("wsinspect.cli.skill:skill", "Print a SKILL.md for agents."),
    "mcp": _Lazy("wsinspect.cli.mcp:mcp", "Serve tools for agents over the Model Context Protocol."),
    "addons": _Lazy("wsinspect.cli.addons:addons", "Print the path of the scripts for stock mitmproxy."),
}


class LazyGroup(click.Group):
    """A group whose commands are named in `COMMANDS`; `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module, _, name = lazy.place.partition(":")
        with nothing_to_end():
            command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; click itself would make a closed stdout exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _silence_stdout()
            return 0
        except click.UsageError as error:
            # click forgets whose option it is that has no value; its help is what to look at.
            if error.ctx is None and (name := ctx.invoked_subcommand) is not None:
                command = self.get_command(ctx, name)
                error.ctx = None if command is None else click.Context(command, ctx, name)
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, from the summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in COMMANDS.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    from wsinspect.version import __version__

    try:
        mitmproxy = version("mitmproxy")
    except PackageNotFoundError:
        mitmproxy = "missing"
    python = ".".join(map(str, sys.version_info[:3]))
    click.echo(f"{PROGRAM} {__version__} (mitmproxy {mitmproxy}, Python {python})")
    ctx.exit()


@click.group(
    PROGRAM,
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("wsinspect demo", "wsinspect run --reverse http://localhost:3000", "wsinspect show last"),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the versions of wsinspect, mitmproxy and Python.",
)
@click.pass_context
def cli(ctx: click.Context) -> Any:
    """See what really happens on a WebSocket: a proxy that does not change what it watches.

    Without a command, same as `wsinspect run`.
    """
    if ctx.invoked_subcommand is not None:
        return None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo(ctx.get_help())
        return None
    run = cli.get_command(ctx, "run")
    assert run is not None
    with run.make_context("run", [], parent=ctx) as context:
        return run.invoke(context)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and leaves with its exit code.

    SIGINT interrupts it whatever it was set to: a shell starts the background jobs of a script with SIGINT
    ignored, and `kill -INT` is how a script ends one.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given = sys.argv[1:] if args is None else args
    as_json = "--json" in (given[: given.index("--")] if "--" in given else given)
    sys.exit(execute(lambda: cli.main(args, prog_name=PROGRAM, standalone_mode=False), as_json=as_json))


def execute(command: Callable[[], Any], *, as_json: bool = False) -> int:
    """Runs `command` behind the border for errors.

    Args:
        as_json: an error is an object on stderr: `{"error", "code", "fix"}`, exit code and what to do, and
            `notes`: what had been said before it.

    Returns:
        The exit code. Whatever went wrong has been said on stderr by then.
    """
    if as_json:
        hold()
    try:
        return _execute(command, _complain_json if as_json else _complain)
    finally:
        release()


def _execute(command: Callable[[], Any], complain: Callable[[_Complaint], None]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still shows the rest
    if (opening := sys.modules.get("wsinspect.recorder.opening")) is not None:
        opening.opened.clear()  # left by an earlier command in this process
    try:
        result = command()
        sys.stdout.flush()
        _check_captures()
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except (click.Abort, KeyboardInterrupt) as error:
        # `launch.interrupts.Interrupted` knows the signal; click makes an Abort of it.
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        return int(getattr(cause, "exit_code", EXIT_INTERRUPTED))
    except NoArgsIsHelpError as error:  # a group without its command
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        complain(_usage(error))
        return error.exit_code
    except WsinspectError as error:
        complain(_Complaint(error.message, error.exit_code, error.hint, error.excerpt))
        return error.exit_code
    except OSError as error:
        if error.filename is None:
            return _crash(error, complain)
        complain(_Complaint(f"{os.fsdecode(error.filename)}: {error.strerror}", EXIT_LOCAL))
        return EXIT_LOCAL
    except Exception as error:
        return _crash(error, complain)
    return result if isinstance(result, int) else 0


def _check_captures() -> None:
    """What was read without trouble may be damaged all the same.

    Raises:
        CaptureError: it is.
    """
    if "wsinspect.recorder.opening" in sys.modules:
        from wsinspect.capture.damage import check_structures
        from wsinspect.recorder.opening import opened

        check_structures(dict.fromkeys(opened))


class _Complaint(NamedTuple):
    """What went wrong.

    Attributes:
        code: the exit code.
        fix: what to do; may be empty.
        excerpt: lines above the message: what was typed, and a caret.
    """

    error: str
    code: int
    fix: str = ""
    excerpt: tuple[str, ...] = ()


def _complain(what: _Complaint) -> None:
    from wsinspect.cli.output import narration

    line = f"{what.error} ({what.fix})" if what.fix else what.error
    _say([*map(escape, what.excerpt), narration(f"{PROGRAM}: {escape(' '.join(line.split()))}")])


def _complain_json(what: _Complaint) -> None:
    from wsinspect.cli.output import take_held
    from wsinspect.present.terminal import json_line

    content: dict[str, Any] = {
        "error": " ".join(what.error.split()),
        "code": what.code,
        "fix": what.fix or None,
    }
    if what.excerpt:
        content["excerpt"] = list(what.excerpt)
    if notes := [" ".join(line.removeprefix(f"{PROGRAM}: ").split()) for line in take_held()]:
        content["notes"] = notes
    _say([json_line(content)])


def _say(lines: Sequence[str]) -> None:
    try:
        for line in lines:
            click.echo(line, err=True)
    except OSError:
        return  # stderr is gone too: the exit code has to do


#: What other tools call it (mitmproxy, curl, wscat, websocat, ssh): the spelling here.
_ELSEWHERE = {
    "--listen": ("-p", "--port", "--listen-port", "--listen-host", "--bind"),
    "--reverse": ("--target", "--upstream"),
    "--insecure": ("-k", "--ssl-insecure", "--no-check", "--no-verify"),
    "--ca": ("--cacert", "--ca-file"),
    "--ca-dir": ("--confdir",),
    "--capture": ("-w", "--write", "--save-stream-file"),
    "--send": ("--execute", "-d", "--data"),
    "--subprotocol": ("--protocol", "--proto"),
    "--filter": ("-Y", "--display-filter"),
    "--header": ("--headers",),
    "--time": ("--clock",),
}


def _ours(error: click.NoSuchOption) -> str | None:
    """How this command spells an option of another tool, with its value; None where it has none."""
    if error.ctx is None:
        return None
    for parameter in error.ctx.command.params:
        for name in parameter.opts:
            if isinstance(parameter, click.Option) and error.option_name in _ELSEWHERE.get(name, ()):
                value = "" if parameter.is_flag else f" {parameter.make_metavar(error.ctx)}"
                return f"{name}{value}"
    return None


def _usage(error: click.ClickException) -> _Complaint:
    message, excerpt = error.format_message().rstrip("."), getattr(error, "excerpt", ())
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return _Complaint(message, error.exit_code, "", excerpt)
    help_ = f"see '{error.ctx.command_path} --help'"
    if isinstance(error, click.NoSuchOption):
        guesses = " or ".join(error.possibilities or ())
        ours = _ours(error)
        guess = f"here it is {ours}; " if ours else f"did you mean {guesses}? " if guesses else ""
        return _Complaint(f"no such option '{error.option_name}'", error.exit_code, f"{guess}{help_}")
    return _Complaint(f"{message[:1].lower()}{message[1:]}", error.exit_code, help_, excerpt)


def _silence_stdout() -> None:
    """Keeps the interpreter's own flush at exit from complaining about a closed pipe."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _crash(error: Exception, complain: Callable[[_Complaint], None]) -> int:
    """One line for a damaged capture, or for a bug of ours with the file that has the traceback."""
    if "wsinspect.recorder.opening" in sys.modules:
        from wsinspect.capture.damage import blame
        from wsinspect.recorder.opening import opened

        if (damaged := blame(dict.fromkeys(reversed(opened)))) is not None:
            complain(_Complaint(damaged.message, damaged.exit_code, damaged.hint, damaged.excerpt))
            return damaged.exit_code
    line = f"internal error: {type(error).__name__}: {error}"
    try:
        where = f"a bug; the details are in {_write_crash_log(error)}"
    except (OSError, WsinspectError) as trouble:
        where = f"a bug; its details could not be written: {trouble}"
    complain(_Complaint(line, EXIT_LOCAL, where))
    return EXIT_LOCAL


def _write_crash_log(error: Exception) -> Path:
    from wsinspect.launch.paths import crash_log_path

    path = crash_log_path()
    text = f"{sys.argv}\n{''.join(traceback.format_exception(error))}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path
