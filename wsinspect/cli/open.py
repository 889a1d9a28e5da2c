"""`wsinspect open`: the terminal program on a capture, live or old."""

from __future__ import annotations

import click

from wsinspect.cli.completion import complete_capture
from wsinspect.cli.options import examples
from wsinspect.cli.screen import is_terminal, screen_options


@click.command(
    "open",
    epilog=examples("wsinspect open", "wsinspect open last --gap 250ms", "wsinspect open session.db --ascii"),
)
@click.argument("capture", required=False, shell_complete=complete_capture)
@screen_options
def open_(capture: str | None, gap: int | None, is_ascii: bool, is_plain: bool) -> int:
    """Look at a capture, live or old, in the terminal.

    CAPTURE is a file, or 'last', which is also the default: what the newest running engine records, otherwise
    the newest capture.
    """
    from wsinspect.errors import UsageError
    from wsinspect.launch.captures import resolve_capture
    from wsinspect.recorder.opening import open_capture

    path = resolve_capture(capture)
    with open_capture(path):
        pass  # index what a dead engine and recorder left behind, and report errors now
    if not is_terminal():
        raise UsageError("wsinspect open needs a terminal", hint=f"wsinspect show {path} prints a capture")
    from wsinspect.tui.start import watch

    return watch(path, gap_ns=gap, is_ascii=is_ascii, is_plain=is_plain)
