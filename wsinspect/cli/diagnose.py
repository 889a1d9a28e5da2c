"""`wsinspect diagnose`: the findings of a capture, a HAR file or mitmproxy flows."""

from __future__ import annotations

from pathlib import Path

import click

from wsinspect.cli.completion import complete_capture_file, complete_diagnosed
from wsinspect.cli.configurations import config_option
from wsinspect.cli.options import color_option, examples, json_option
from wsinspect.cli.output import say
from wsinspect.cli.packets import packet_options, packet_reading


@click.command(
    epilog=examples(
        "wsinspect diagnose                        the last capture",
        "wsinspect diagnose chat.db --json | jq '.findings[].id'",
        "wsinspect diagnose page.har               exported by Chrome or Firefox",
        "wsinspect diagnose edge.db --origin origin.db   captures of both sides of a hop",
        "wsinspect diagnose edge.pcapng --origin origin.pcapng   the same from tcpdump",
        "wsinspect diagnose --config /etc/nginx    also name the line of the hop's configuration",
        failed="at least one finding is an error",
    )
)
@click.argument("file", required=False, shell_complete=complete_diagnosed)
@click.option(
    "--origin",
    type=click.Path(path_type=Path),
    shell_complete=complete_capture_file,
    help="The capture or packet trace from the other side of the hop.",
)
@packet_reading
@config_option
@click.option("--connection", type=click.IntRange(min=1), help="Only findings for this connection.")
@json_option
@color_option
def diagnose(
    file: str | None,
    origin: Path | None,
    keylog: Path | None,
    taps: tuple[str, ...],
    configurations: tuple[str, ...],
    connection: int | None,
    as_json: bool,
    color: str,
) -> int:
    """Explain what went wrong in FILE, on which hop, and how to fix it.

    FILE is a capture, a HAR file with WebSocket messages, a mitmproxy flow file, or packets (pcap, pcapng);
    the last capture by default.
    """
    from wsinspect.cli.configurations import read
    from wsinspect.cli.diagnosis import diagnose_file
    from wsinspect.cli.output import echo, echo_json, prose_columns
    from wsinspect.launch.captures import resolve_capture
    from wsinspect.present.findings import diagnosis_lines
    from wsinspect.present.terminal import Palette

    path = resolve_capture(file)
    with packet_options(path, keylog, taps, follow=False) as packets:
        result = diagnose_file(path, origin, connection, read(configurations), packets)
    for note in result.notes:
        say(note)
    if result.missing is not None:
        say(f"{result.missing.words}; findings do not cover that")
    if result.origin_missing is not None:
        words = f"{result.origin}: {result.origin_missing.words}"
        say(f"{words}; findings do not cover that")
    if as_json:
        echo_json(result.as_json())
    else:
        for line in Palette.choose(color).folded(diagnosis_lines(result), prose_columns()):
            echo(line)
    return 1 if result.has_error else 0
