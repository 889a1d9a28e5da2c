"""`wsinspect report`: a capture as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from wsinspect.cli.completion import complete_capture
from wsinspect.cli.configurations import config_option
from wsinspect.cli.options import examples
from wsinspect.cli.output import say


@click.command(
    epilog=examples(
        "wsinspect report -o page.html                     the last capture",
        "wsinspect report chat.db -o page.html --config /etc/nginx    with the line to change",
        "wsinspect report edge.db --origin origin.db -o page.html     both sides of a hop",
        "wsinspect report trace.pcapng -o page.html        packets, HAR and flows too",
    )
)
@click.argument("capture", required=False, shell_complete=complete_capture)
@click.option("--output", "-o", required=True, metavar="FILE", help="Page to write; - is stdout.")
@click.option("--origin", type=click.Path(path_type=Path), help="The capture from the other side of the hop.")
@config_option
@click.option("--include-secrets", is_flag=True, help="Don't mask cookies, credentials and tokens.")
@click.option("--no-payload", is_flag=True, help="Leave out how messages begin.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def report(
    capture: str | None,
    output: str,
    origin: Path | None,
    configurations: tuple[str, ...],
    include_secrets: bool,
    no_payload: bool,
    force: bool,
) -> None:
    """Write CAPTURE as one HTML page: what is wrong, what to change, and the timeline to look at.

    The page loads nothing from anywhere and opens from disk in any browser. Cookies, credentials and tokens
    are masked unless --include-secrets is given. CAPTURE may also be a HAR file, a mitmproxy flow file or
    packets.
    """
    from wsinspect.cli.configurations import read
    from wsinspect.cli.diagnosis import diagnosed
    from wsinspect.cli.export import output_file
    from wsinspect.formats.masking import Masker
    from wsinspect.launch.captures import resolve_capture
    from wsinspect.present.clients import client_lines
    from wsinspect.present.findings import stories
    from wsinspect.present.sandwich import sandwich_lines
    from wsinspect.recorder.opening import open_capture
    from wsinspect.report.content import heads_of
    from wsinspect.report.content import read as read_content
    from wsinspect.report.page import render
    from wsinspect.text import counted

    path = resolve_capture(capture)
    with diagnosed(path, origin, None, read(configurations)) as (result, opened):
        with open_capture(opened) as content:
            masker = Masker(heads_of(content), is_off=include_secrets)
            first = [one.connection for one in result.findings if one.connection is not None]
            made = read_content(content, masker, first, with_payload=not no_payload)
        with output_file(output, force, keeps_part=False) as out:
            for piece in render(
                made,
                result,
                masker,
                name=path.name,
                clients=[[*client_lines(one)] for one in result.clients],
                story=stories(result),
                pairs=sandwich_lines(result.pairs),
            ):
                out.write(piece.encode("utf-8", "backslashreplace"))
    frames = counted(made.frames - made.frames_left_out, "frame")
    findings = counted(len(result.findings), "finding")
    counts = f"{findings}, {counted(len(made.connections), 'connection')}, {frames}"
    say(f"{output}: {counts}")
    if not include_secrets:
        masked = "cookies, credentials and tokens are masked; --include-secrets keeps them"
        say(masked)
