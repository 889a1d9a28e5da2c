"""`wsinspect import`: a capture made of another program's file."""

from __future__ import annotations

from pathlib import Path

import click

from wsinspect.cli.capture_options import output_option
from wsinspect.cli.options import examples
from wsinspect.cli.output import say
from wsinspect.cli.packets import packet_options, packet_reading, telling


@click.command(
    "import",
    epilog=examples(
        "wsinspect import chat.har -o chat.db      from Chrome, mitmproxy, Playwright or wsinspect",
        "wsinspect import chat.jsonl -o chat.db    from wsinspect export",
        "wsinspect import chat.flows -o chat.db    from mitmdump -w chat.flows",
        "wsinspect import trace.pcapng -o chat.db  from tcpdump -w, tshark or Wireshark",
        "wsinspect import trace.pcapng -o chat.db --keylog keys.log --tap edge=443 --tap origin=3000",
        "tcpdump -U -w - port 80 | wsinspect import - -o live.db",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@output_option
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["har", "jsonl", "flows", "packets"]),
    help="Detected from FILE by default.",
)
@packet_reading
@click.option("--follow", is_flag=True, help="Keep reading a trace that grows, until Ctrl-C.")
def import_(
    file: Path,
    output: Path,
    file_format: str | None,
    keylog: Path | None,
    taps: tuple[str, ...],
    follow: bool,
) -> None:
    """Convert FILE to a capture: a HAR, a JSONL export of wsinspect, a flow file of mitmproxy, or packets.

    Packets are a pcap or pcapng file, or - for stdin. show, open, diagnose and replay read the capture like a
    recorded one, also while packets are still coming in; what is found then is printed. docs/formats.md says
    what each format contains.
    """
    from wsinspect.cli.progress import progress_bar
    from wsinspect.formats.importing import import_file
    from wsinspect.formats.packets.trace import is_stream
    from wsinspect.text import counted

    size = file.stat().st_size if file.is_file() else 0
    with (
        packet_options(file, keylog, taps, follow) as options,
        progress_bar("importing", size) as progress,
        telling(is_live=follow or is_stream(file)) as tell,
    ):
        notes = import_file(
            file, output, file_format=file_format, progress=progress, packets=options, found=tell
        )
    for line in notes.lines():
        say(line)
    others = notes.entries - notes.connections
    also = f"; {others} of {notes.entries} entries are not WebSockets" if others > 0 else ""
    found = f"{counted(notes.connections, 'connection')}, {counted(notes.frames, 'frame')}"
    say(f"{output!s}: {found}{also}")
