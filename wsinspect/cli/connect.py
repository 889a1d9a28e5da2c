"""`wsinspect connect`: a WebSocket client to type into, or to script; recorded like any other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.capture_options import record_option
from wsinspect.cli.options import (
    DURATION,
    color_option,
    examples,
    insecure_option,
    json_option,
    trusted_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsinspect.errors import UsageError
    from wsinspect.findings.model import Finding
    from wsinspect.launch.connecting import Outcome, Plan
    from wsinspect.peers.client import Opened, Refused
    from wsinspect.peers.socket import Seen
    from wsinspect.peers.talk import Ending, Expected
    from wsinspect.peers.typed import Command
    from wsinspect.present.terminal import Palette

_ORDER = "wsinspect.order"
#: Where the words of /help begin.
_HELP_CELLS = 28


class InOrder(click.Command):
    """A command that remembers in which order its repeatable options were given, across their names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse them twice: click joins the values of each option, and keeps the order of all."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[_ORDER] = [parameter.name for parameter in order]
        return super().parse_args(ctx, args)


@click.command(
    cls=InOrder,
    epilog=examples(
        "wsinspect connect wss://echo.example/chat",
        "wsinspect connect localhost:3000 --subprotocol mqtt --header 'Authorization: Bearer x'",
        "wsinspect connect localhost:3000 --send '{\"type\":\"login\"}' --expect 'json:$.type=welcome'",
        "wsinspect connect localhost:3000 --send /ping --expect op:pong --json",
        "wsinspect connect localhost:3000 < session.txt",
        failed="refused, an expected frame did not come, or no CLOSE frame at the end",
    ),
)
@click.argument("url")
@click.option(
    "--header", "-H", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header; repeatable."
)
@click.option(
    "--subprotocol", "-s", "subprotocols", multiple=True, metavar="NAME", help="Offer this one; repeatable."
)
@click.option(
    "--cookie", "-b", "cookies", multiple=True, metavar="NAME=VALUE", help="Send a cookie; repeatable."
)
@click.option("--origin", metavar="URL", help="The Origin header, as a page of that site would send it.")
@click.option("--compress", is_flag=True, help="Offer permessage-deflate, as browsers do.")
@click.option(
    "--send",
    "-x",
    "sends",
    multiple=True,
    metavar="LINE",
    help="Send this, then leave; repeatable. @FILE sends a file.",
)
@click.option(
    "--expect",
    "-e",
    "expects",
    multiple=True,
    metavar="FILTER",
    help="Wait for a matching frame; repeatable, in order.",
)
@click.option("--within", type=DURATION, default="5s", help="How long --expect may take; 5s by default.")
@click.option(
    "--wait", type=DURATION, help="How long to stay after the last line; 1s by default, 0 after --expect."
)
@click.option("--no-templates", is_flag=True, help="Send {{...}} as it is.")
@click.option("--no-pong", is_flag=True, help="Don't answer PINGs.")
@insecure_option
@trusted_option
@click.option(
    "--through",
    type=click.IntRange(min=1),
    metavar="PID",
    help="Use this running proxy (wsinspect ps), which records it, instead of one of its own.",
)
@record_option
@click.option("--name", help="Name of the new capture, for show, replay and other commands.")
@json_option
@color_option
def connect(url: str, as_json: bool, color: str, **options: Any) -> int:
    """Open a WebSocket to URL and type into it: every frame is shown, and recorded like any capture.

    URL is ws:// or wss://; without a scheme it is ws://. A line is a text message. Lines that begin with a
    slash are commands: /ping, /binary 00 ff, /file PATH, /expect FILTER, /wait 2s, /close 1001 bye; /help
    lists them. {{seq}}, {{uuid}}, {{now}} and {{$.id}} are filled in (docs/connect.md).

    With --send and --expect, in the order given, or with lines on stdin, it is a script: it ends when all is
    done, and the exit code says how.
    """
    from wsinspect.launch.captures import discard_if_empty
    from wsinspect.launch.connecting import Plan, proxy_of
    from wsinspect.launch.connecting import connect as talk
    from wsinspect.peers.client import Request, parse_cookie, parse_header, parse_subprotocols, parse_url
    from wsinspect.present.terminal import Palette

    headers = [parse_header(text) for text in options["headers"]]
    if options["origin"] is not None:
        headers.append(("Origin", options["origin"]))
    request = Request(
        target=parse_url(url),
        headers=headers,
        subprotocols=parse_subprotocols(options["subprotocols"]),
        cookies=[parse_cookie(text) for text in options["cookies"]],
        compress=options["compress"],
    )
    through = options["through"]
    if through is not None and (
        options["capture"] or options["name"] or options["insecure"] or options["trusted"]
    ):
        raise click.UsageError("--through cannot be combined with --capture, --name, --insecure or --ca")
    commands = _commands(options["sends"], options["expects"], fills=not options["no_templates"])
    path = Path() if through is not None else _capture_path(options["capture"], options["name"])
    engine_options = ["--insecure"] if options["insecure"] else []
    engine_options += [f"--ca={file.absolute()}" for file in options["trusted"]]
    is_interactive = commands is None and sys.stdin.isatty() and sys.stdout.isatty()
    plan = Plan(
        request=request,
        capture=path,
        commands=commands,
        is_interactive=is_interactive,
        within_ns=options["within"],
        wait_ns=options["wait"],
        fills=not options["no_templates"],
        answers_pings=not options["no_pong"],
        engine_options=engine_options,
        through=None if through is None else proxy_of(through),
    )
    shows = (
        _JsonShows(None if through is not None else str(path))
        if as_json
        else _HumanShows(_whither(url, plan), plan, Palette.choose(color))
    )
    try:
        outcome = talk(plan, shows)
    except KeyboardInterrupt:
        is_gone = options["capture"] is None and path.is_file() and discard_if_empty(path)
        if through is None and not as_json and not is_gone and path.is_file():
            _say_where(path)  # what was seen until then is kept
        raise
    if through is not None:
        _complain_of(outcome, as_json, ())
        return 1 if outcome.has_failed else 0
    if not outcome.is_open and options["capture"] is None and discard_if_empty(path):
        return 1
    findings = _explain(path, outcome, as_json, color)
    _complain_of(outcome, as_json, findings)
    return 1 if outcome.has_failed else 0


def _complain_of(outcome: Outcome, as_json: bool, findings: Sequence[Finding]) -> None:
    """A server that cannot be reached is an error of the command, as it is of any client.

    Raises:
        UpstreamError: for scripts; a person has read it.
    """
    from wsinspect.errors import UpstreamError

    if as_json and outcome.unreached is not None:
        fix = next((fix.text for one in findings for fix in one.fixes), "")
        raise UpstreamError(outcome.unreached, hint=fix)


def _whither(url: str, plan: Plan) -> str:
    """The URL; behind a reverse proxy with another server, that one too: it is what the client talks to."""
    serves = None if plan.through is None else plan.through.serves
    if serves is None or not serves.startswith(("http:", "https:")):
        return url
    from wsinspect.peers.client import parse_url

    target, asked = parse_url(serves), plan.request.target
    return url if target[:3] == asked[:3] else f"{url}, by the reverse proxy of {serves}"


def _commands(sends: tuple[str, ...], expects: tuple[str, ...], *, fills: bool) -> list[Command] | None:
    """What --send and --expect ask for, in the order in which they were given; None without any."""
    from wsinspect.peers import templates
    from wsinspect.peers.talk import check_file
    from wsinspect.peers.typed import Expect, Help, Say, SayFile, parse_expectation, parse_line

    if not sends and not expects:
        return None
    lines, filters = iter(sends), iter(expects)
    found: list[Command] = []
    for name in click.get_current_context().meta[_ORDER]:
        if name == "expects":
            found.append(Expect(parse_expectation(next(filters))))
        elif name == "sends" and (command := parse_line(next(lines))) is not None:
            if isinstance(command, Help):
                raise click.UsageError("--send /help: see docs/connect.md")
            if isinstance(command, SayFile):
                check_file(command)
            if isinstance(command, Say) and command.text is not None and fills:
                try:
                    templates.check(command.text)
                except templates.TemplateError as error:
                    raise click.UsageError(f"--send: {error}") from None
            found.append(command)
    return found


def _capture_path(capture: Path | None, name: str | None) -> Path:
    from wsinspect.launch.captures import path_for
    from wsinspect.launch.paths import new_capture_path
    from wsinspect.recorder.prepare import check_new

    if capture is not None and name is not None:
        raise click.UsageError(
            "--name is for a new capture in the default directory; --capture names its file"
        )
    path = capture if capture is not None else new_capture_path() if name is None else path_for(name)
    check_new(path.absolute(), append=False)
    return path.absolute()


def _explain(path: Path, outcome: Outcome, as_json: bool, color: str) -> Sequence[Finding]:
    """What the rules make of a failure, which is given back, and where the recording is."""
    from wsinspect.cli.diagnosis import diagnose_file
    from wsinspect.cli.output import echo_json, note, prose_columns
    from wsinspect.present.findings import finding_lines
    from wsinspect.present.terminal import Palette

    findings = diagnose_file(path, None, None).findings if outcome.has_failed else []
    for one in findings:
        if as_json:
            echo_json({"event": "finding", **one.as_json()})
        else:
            for line in Palette.choose(color).folded(finding_lines([one]), prose_columns()):
                note(line)
    if not as_json:
        _say_where(path)
    return findings


def _say_where(path: Path) -> None:
    """Where the recording is."""
    import shlex

    from wsinspect.cli.output import say
    from wsinspect.launch.paths import spoken

    name = shlex.quote(spoken(path))
    say(f"recorded in {path}; to view it: wsinspect show {name} 1")


class _HumanShows:
    """Frames on stdout, what else happens on stderr."""

    def __init__(self, url: str, plan: Plan, palette: Palette) -> None:
        from wsinspect.cli.output import echo
        from wsinspect.peers.printing import Printer

        self._url, self._plan = url, plan
        printer = Printer(echo, palette)
        self.frame = printer.frame
        self.expected = printer.expected

    def opened(self, opened: Opened, ms: float) -> None:
        from wsinspect.text import escape
        from wsinspect.units import format_milliseconds

        agreed = opened.agreed
        words = ["101", format_milliseconds(ms)]
        if agreed.subprotocol is not None:
            words.append(f"subprotocol {escape(agreed.subprotocol)}")
        elif self._plan.request.subprotocols:
            words.append("no subprotocol: browsers fail the connection here")  # WS-HS-026
        words += [escape(str(extension)) for extension in agreed.extensions]
        self._say(f"connected to {escape(self._url)} ({', '.join(words)})")
        if self._plan.is_interactive:
            self._say("type a message, /help for commands, Ctrl-D to leave")

    def refused(self, refused: Refused) -> None:
        from wsinspect.cli.output import note
        from wsinspect.text import escape, escape_bytes, escape_lines

        response = refused.response
        if response is None or response.status is None:
            self._say(f"no answer from {escape(self._url)}")
            return
        if refused.problems:
            self._say(f"the 101 is wrong: {', '.join(refused.problems)}")
        for line in escape_lines(response.head.decode("latin-1").rstrip()):
            note(f"  {line}")
        if refused.body:
            note(f"  {escape_bytes(refused.body[:500])}")

    def unreached(self, error: str) -> None:
        self._say(f"no answer from {self._url}: {error}")

    def ended(self, end: Ending) -> None:
        from wsinspect.peers.printing import ending_words

        self._say(ending_words(end))

    def help(self) -> None:
        import textwrap

        from wsinspect.cli.output import prose_columns
        from wsinspect.peers.templates import KNOWN
        from wsinspect.peers.typed import HELP

        for written, words in {**HELP, **KNOWN}.items():
            columns = prose_columns()
            lines = [words] if columns is None else textwrap.wrap(words, max(columns - _HELP_CELLS, 20))
            for at, line in enumerate(lines):
                click.echo(f"{'' if at else f'  {written}':<{_HELP_CELLS}}{line}")

    def complain(self, error: UsageError) -> None:
        from wsinspect.text import escape

        for line in error.excerpt:
            click.echo(f"  {escape(line)}")
        click.echo(f"  ! {escape(error.message)}{f' ({escape(error.hint)})' if error.hint else ''}")

    def _say(self, line: str) -> None:
        from wsinspect.cli.output import say

        say(line)


class _JsonShows:
    """One object per line."""

    def __init__(self, capture: str | None) -> None:
        self._capture = capture

    def opened(self, opened: Opened, ms: float) -> None:
        from wsinspect.cli.output import echo_json

        agreed = opened.agreed
        extensions = ", ".join(map(str, agreed.extensions)) or None
        echo_json(
            {
                "event": "open",
                "status": agreed.status,
                "subprotocol": agreed.subprotocol,
                "extensions": extensions,
                "ms": round(ms, 3),
                "capture": self._capture,
            }
        )

    def refused(self, refused: Refused) -> None:
        from wsinspect.cli.output import echo_json
        from wsinspect.decoders.as_json import content

        response = refused.response
        head = None if response is None else response.head.decode("latin-1")
        echo_json(
            {
                "event": "refused",
                "status": None if response is None else response.status,
                "head": head,
                "body": content(refused.body),
                "problems": list(refused.problems),
                "error": None,
                "capture": self._capture,
            }
        )

    def unreached(self, error: str) -> None:
        from wsinspect.cli.output import echo_json

        echo_json(
            {
                "event": "refused",
                "status": None,
                "head": None,
                "body": None,
                "problems": [],
                "error": error,
                "capture": self._capture,
            }
        )

    def frame(self, seen: Seen) -> None:
        from wsinspect.cli.output import echo_json
        from wsinspect.peers.printing import frame_object

        echo_json(frame_object(seen))

    def expected(self, expected: Expected) -> None:
        from wsinspect.cli.output import echo_json
        from wsinspect.peers.printing import expected_object

        echo_json(expected_object(expected))

    def ended(self, end: Ending) -> None:
        from wsinspect.cli.output import echo_json
        from wsinspect.peers.printing import ending_object

        echo_json(ending_object(end))

    def help(self) -> None:
        """Nobody types into a script."""

    def complain(self, error: UsageError) -> None:
        """Nobody types into a script: mistakes end it."""
        raise error
