"""`wsinspect export`: a capture in the formats of other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from wsinspect.cli.capture_options import (
    capture_argument,
    connections_option,
    filter_option,
    find_connections,
)
from wsinspect.cli.options import examples, parse_filter
from wsinspect.cli.output import say
from wsinspect.formats.exporting import EXPORTERS, Exporter, Written

if TYPE_CHECKING:
    from wsinspect.capture.reader import Capture
    from wsinspect.formats.choice import Choice

#: Not a file but a folder that many captures share, hence none of `EXPORTERS`.
PARQUET = "parquet"


@click.command(
    epilog=examples(
        "wsinspect export --format har -o chat.har             the last capture",
        "wsinspect export chat.db --format jsonl -o chat.jsonl",
        "wsinspect export chat.db -o chat.pcapng               for Wireshark",
        "wsinspect export chat.db -o chat.flows                for mitmproxy and mitmweb",
        "wsinspect export chat.db --format parquet -o fleet/   into a data set of many captures",
        "wsinspect export chat.db -o failed.har --filter 'close:1006'     these connections",
        "wsinspect export chat.db -o orders.jsonl --filter 'op:text json:$.type=order'     these frames",
        "wsinspect export chat.db --format jsonl --connection 3 -o - | jq 'select(.type == \"frame\")'",
    )
)
@capture_argument
@click.option(
    "--format",
    "file_format",
    type=click.Choice([*EXPORTERS, PARQUET]),
    help="Taken from FILE's name by default.",
)
@click.option(
    "--output", "-o", required=True, metavar="FILE", help="File to write, or Parquet's folder; - is stdout."
)
@connections_option
@filter_option
@click.option("--host", help="Name of the machine in a Parquet data set; the one that recorded by default.")
@click.option("--include-secrets", is_flag=True, help="Don't mask cookies, credentials and tokens.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def export(
    capture: str | None,
    file_format: str | None,
    output: str,
    numbers: tuple[int, ...],
    expression: str | None,
    host: str | None,
    include_secrets: bool,
    force: bool,
) -> None:
    """Write CAPTURE as HAR (with Chrome's _webSocketMessages), JSONL (everything, one row per line), pcapng
    (for Wireshark) or mitmproxy flows; as a script: for wsinspect mock (what the server of one connection
    said), for k6, websocat or Postman (what clients said); or add it to a Parquet data set of many captures.

    Cookies, credentials and tokens in URLs are masked unless --include-secrets is given; payloads are not
    changed. --filter selects connections if all its keys are about connections, otherwise frames.
    docs/formats.md lists what each format leaves out.
    """
    from wsinspect.capture.damage import check_sound
    from wsinspect.capture.missing import missing
    from wsinspect.formats.choice import choose
    from wsinspect.launch.captures import resolve_capture
    from wsinspect.recorder.opening import open_capture

    name = file_format or _by_name(output)
    if host is not None and name != PARQUET:
        raise click.UsageError("--host is for --format parquet")
    flt = parse_filter(expression)
    path = resolve_capture(capture)
    if name == PARQUET and output == "-":
        raise click.UsageError("Parquet is a folder of files: -o FOLDER")
    with open_capture(path) as opened:
        find_connections(opened, numbers)
        if opened.is_live:
            say("an engine is still writing this capture: exporting what it has recorded so far")
        # Arrow's columns take values of their own type alone.
        check_sound(opened, but=("frame",) if name == PARQUET and flt is None else ())
        choice = choose(opened, flt, numbers)
        if name == PARQUET:
            _write_data_set(opened, Path(output), host, choice, include_secrets, force)
        else:
            exporter = EXPORTERS[name]
            with output_file(output, force, keeps_part=exporter.keeps_part) as out:
                _write(opened, out, exporter, choice, include_secrets)
        if choice.left_out is not None:
            say(choice.left_out)
        if lacks := missing(opened):
            say(f"{opened.path}: {lacks.words}")
    if not include_secrets:
        say("cookies, credentials and tokens in URLs are masked; --include-secrets keeps them")


def _write_data_set(
    capture: Capture, folder: Path, host: str | None, choice: Choice, include_secrets: bool, force: bool
) -> None:
    from wsinspect.capture.queries import newest_frame
    from wsinspect.cli.diagnosis import findings_of
    from wsinspect.cli.progress import progress_bar
    from wsinspect.errors import LocalError

    try:
        from wsinspect.formats.parquet_writer import write_parquet
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise LocalError(
            "Parquet needs the package pyarrow, which is not installed",
            hint="pipx inject wsinspect pyarrow, or pip install 'wsinspect[parquet]'",
        ) from None
    findings = findings_of(capture)
    with progress_bar("exporting", newest_frame(capture)) as progress:
        written = write_parquet(
            capture,
            folder,
            findings,
            host=host,
            choice=choice,
            include_secrets=include_secrets,
            force=force,
            progress=progress,
        )
    _tell(written)


def _write(
    capture: Capture, out: IO[bytes], exporter: Exporter, choice: Choice, include_secrets: bool
) -> None:
    from wsinspect.capture.queries import newest_frame
    from wsinspect.cli.progress import progress_bar

    total = newest_frame(capture)
    with progress_bar("exporting", total) as progress:
        written = exporter.write(
            capture, out, choice=choice, include_secrets=include_secrets, progress=progress
        )
    _tell(written)


def _tell(written: Written) -> None:
    for note in written.notes:
        say(note)
    say(f"exported {written.summary}")


#: Of formats whose files are not called as they are.
_ENDINGS = {
    (".yaml", ".yml"): "mock",
    (".js", ".mjs"): "k6",
    (".postman_collection.json",): "postman",
    (".sh",): "websocat",
}


def _by_name(output: str) -> str:
    for name in (*EXPORTERS, PARQUET):
        if output.endswith(f".{name}"):
            return name
    for endings, name in _ENDINGS.items():
        if output.endswith(endings):
            return name
    names = " or ".join((*EXPORTERS, PARQUET))
    raise click.UsageError(f"unknown format: use --format {names}, or a file name that ends with it")


@contextmanager
def output_file(name: str, force: bool, *, keeps_part: bool) -> Iterator[IO[bytes]]:
    """The file, private like a capture.

    What could not be finished is removed, but for what was read of a damaged capture where a part of the
    format is of use (`keeps_part`).
    """
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    from wsinspect.errors import CaptureError, LocalError, UsageError

    path = Path(name)
    if path.exists() and not force:
        raise UsageError(f"{path} exists", hint="--force overwrites it")
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", 1 << 20) as out:
            yield out
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LocalError(f"cannot write {path}: {error.strerror or error}") from None
    except CaptureError:
        if keeps_part:
            part.replace(path)
            say(f"what could be read is in {path}")
        else:
            part.unlink(missing_ok=True)
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise
