"""`wsinspect import`: a capture made of another program's file."""

from __future__ import annotations

from pathlib import Path

import click

from wsinspect.cli.capture_options import output_option
from wsinspect.cli.options import examples


@click.command(
    "import",
    epilog=examples(
        "wsinspect import chat.har -o chat.db      from Chrome, mitmproxy, Playwright or wsinspect",
        "wsinspect import chat.jsonl -o chat.db    from wsinspect export",
        "wsinspect import chat.flows -o chat.db    from mitmdump -w chat.flows",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@output_option
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["har", "jsonl", "flows"]),
    help="Detected from FILE by default.",
)
def import_(file: Path, output: Path, file_format: str | None) -> None:
    """Convert FILE to a capture: a HAR, a JSONL export of wsinspect, or a flow file of mitmproxy.

    show, open, diagnose and replay read the capture like a recorded one. docs/formats.md says what each
    format contains.
    """
    from wsinspect.cli.progress import progress_bar
    from wsinspect.formats.importing import import_file
    from wsinspect.text import escape

    size = file.stat().st_size if file.is_file() else 0
    with progress_bar("importing", size) as progress:
        notes = import_file(file, output, file_format=file_format, progress=progress)
    for line in notes.lines():
        click.echo(f"wsinspect: {line}", err=True)
    others = notes.entries - notes.connections
    also = f"; {others} of {notes.entries} entries are not WebSockets" if others > 0 else ""
    click.echo(
        f"wsinspect: {escape(str(output))}: {notes.connections} connections, {notes.frames} frames{also}",
        err=True,
    )
