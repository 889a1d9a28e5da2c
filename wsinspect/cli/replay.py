"""`wsinspect replay`: a capture played again, as the client against a server or as the server."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.capture_options import connections_option, find_connections
from wsinspect.cli.completion import complete_capture, complete_capture_file
from wsinspect.cli.options import ADDRESS, DURATION, examples, insecure_option, json_option
from wsinspect.net import Address

if TYPE_CHECKING:
    from wsinspect.capture.reader import Capture
    from wsinspect.capture.records import Connection
    from wsinspect.replay.common.matching import Divergence
    from wsinspect.replay.common.report import ConnectionReport
    from wsinspect.replay.common.values import Place

EXIT_INTERRUPTED = 130


@click.command(
    epilog=examples(
        "wsinspect replay chat.db --to ws://localhost:3000",
        "wsinspect replay chat.db --to ws://localhost:3000 --connection 3 --ignore 'json:$..id'",
        "wsinspect replay monday.db --also tuesday.db --to wss://staging.example --header 'Cookie: sid=new'",
        "wsinspect replay chat.db --to ws://localhost:3000 --speed max --json",
        "wsinspect replay chat.db --serve 3000 --loop        the server, for a front-end",
        "wsinspect replay chat.db --serve 3000 --until 120 --then rst",
        failed="something differed from the recording",
    )
)
@click.argument("capture", shell_complete=complete_capture)
@click.option("--to", "url", metavar="URL", help="Play the clients against this server.")
@click.option("--serve", type=ADDRESS, help="Play the server here; port 0 for any.")
@connections_option
@click.option(
    "--speed",
    metavar="0.1..100|max",
    help="Keep the recorded times, scaled by this factor; max sends at once.",
)
@click.option(
    "--normalise", is_flag=True, help="Send whole messages, a correct close, and no recorded pings."
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="json:PATH",
    help="Don't compare this part of JSON messages; repeatable.",
)
@click.option(
    "--also",
    type=click.Path(path_type=Path),
    metavar="CAPTURE",
    shell_complete=complete_capture_file,
    help="Ignore what differs between CAPTURE and this one.",
)
@click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Replace a request header; 'NAME:' removes it; repeatable.",
)
@click.option("--send-secrets", is_flag=True, help="Send recorded cookies and tokens to any host.")
@click.option(
    "--timeout", type=DURATION, default="10s", help="How long to wait for an answer; 10s by default."
)
@click.option(
    "--ca",
    "ca_file",
    type=click.Path(path_type=Path),
    help="Also trust server certificates issued by this CA (PEM).",
)
@insecure_option
@click.option(
    "--match",
    type=click.Choice(["similar", "exact", "subset", "regex"]),
    default="similar",
    help="--serve: how a client's message has to match the recorded one.",
)
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="FRAME=KIND:TEXT",
    help="--serve: wait for this message before FRAME instead.",
)
@click.option("--any-order", is_flag=True, help="--serve: accept clients' messages in any order.")
@click.option("--until", type=click.IntRange(min=1), metavar="FRAME", help="--serve: stop after this frame.")
@click.option(
    "--then",
    type=click.Choice(["rst", "fin", "close"]),
    default="rst",
    help="--until: how to end the connection there.",
)
@click.option(
    "--cert",
    "certificate",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="--serve: use TLS, with this certificate and key (PEM); clients may use HTTP/2.",
)
@click.option("--loop", is_flag=True, help="--serve: start over when everything was played, until SIGINT.")
@json_option
def replay(capture: str, url: str | None, serve: Address | None, as_json: bool, **options: Any) -> int:
    """Replay a recording, and compare what comes back with what was recorded.

    --to opens the recorded connections and sends what the clients sent, each message once the server has
    sent as much as it had then; with --speed, in the recorded time. --serve answers clients as the recorded
    server did: what it sent after a client's message is sent after that message.

    An interrupted --to still prints a report of what was played. docs/replay.md has the details.
    """
    from wsinspect.launch.captures import resolve_capture
    from wsinspect.recorder.opening import open_capture

    if (url is None) == (serve is None):
        raise click.UsageError("give either --to URL or --serve [HOST:]PORT")
    with ExitStack() as stack:
        opened = stack.enter_context(open_capture(resolve_capture(capture)))
        chosen = _choose(opened, options["numbers"])
        places = _places(opened, options, stack)
        if url is not None:
            return _play_client(opened, chosen, places, url, as_json, options)
        assert serve is not None
        from wsinspect.cli.replay_server import play_server

        return play_server(opened, chosen, places, serve, as_json, options)


def _choose(capture: Capture, numbers: tuple[int, ...]) -> list[Connection]:
    from wsinspect.cli.output import say
    from wsinspect.errors import UsageError
    from wsinspect.formats.choice import hops_own, words_of_hops_own

    chosen = find_connections(capture, numbers) if numbers else capture.connections()
    if not chosen:
        raise UsageError(f"{capture.path} has no connections to play")
    of_hops = hops_own(capture, {one.id for one in chosen})
    if (said := words_of_hops_own(len(of_hops))) is not None:
        say(said)
    return [one for one in chosen if one.id not in of_hops]


def _places(capture: Capture, options: dict[str, Any], stack: ExitStack) -> tuple[Place, ...]:
    from wsinspect.capture.reader import Capture as Reader
    from wsinspect.replay.common.values import Place

    places = tuple(map(Place.parse, options["ignored"]))
    if options["also"] is not None:
        from wsinspect.cli.output import say
        from wsinspect.replay.common.volatile import find_volatile

        other = stack.enter_context(Reader.open(options["also"]))
        found = find_volatile(capture, other)
        say(f"ignored, because it differs in {options['also']}: {', '.join(map(str, found)) or 'nothing'}")
        places += found
    return places


def _play_client(
    capture: Capture,
    chosen: list[Connection],
    places: tuple[Place, ...],
    url: str,
    as_json: bool,
    options: dict[str, Any],
) -> int:
    from wsinspect.cli.progress import progress_bar
    from wsinspect.cli.replay_words import say_cuts, say_divergence
    from wsinspect.replay.as_client.client import ClientOptions, replay_client
    from wsinspect.replay.common.handshake import Policy, Target, headers_of
    from wsinspect.replay.common.pace import parse_speed
    from wsinspect.wire.opcodes import Direction

    speed = options["speed"]
    client = ClientOptions(
        target=Target.parse(url),
        policy=Policy(headers_of(options["headers"]), options["send_secrets"]),
        places=places,
        gated=speed is None,
        speed=None if speed is None else parse_speed(speed),
        normalise=options["normalise"],
        timeout_s=options["timeout"] / 1e9,
        ca_file=options["ca_file"],
        insecure=options["insecure"],
    )
    say_cuts(capture, chosen, Direction.CLIENT_TO_SERVER)
    total = sum(one.c2s_frames + one.s2c_frames for one in chosen)
    with progress_bar("replaying", total, is_wanted=not as_json) as progress:
        on_divergence = _nobody if as_json else say_divergence
        reports = replay_client(capture, chosen, client, on_divergence=on_divergence, progress=progress)
    return conclude(reports, as_json)


def conclude(reports: list[ConnectionReport], as_json: bool) -> int:
    """Say how it went; the exit code."""
    from wsinspect.cli.output import echo, echo_json, say
    from wsinspect.replay.common.report import summary
    from wsinspect.text import escape

    is_equal = all(report.is_equal for report in reports)
    if as_json:
        echo_json({"equal": is_equal, "connections": [report.as_json() for report in reports]})
    else:
        for report in reports:
            for note in report.notes:
                say(f"connection {report.connection}: {note}")
            echo(escape(summary(report)))
    if any(report.is_interrupted for report in reports):
        return EXIT_INTERRUPTED
    return 0 if is_equal else 1


def _nobody(_report: ConnectionReport, _what: Divergence | str) -> None:
    return
