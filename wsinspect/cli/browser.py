"""`wsinspect browser`: a browser whose every connection is seen, in a profile that is thrown away."""

from __future__ import annotations

from pathlib import Path

import click

from wsinspect.cli.completion import complete_browser
from wsinspect.cli.options import examples, trusted_option
from wsinspect.cli.output import say
from wsinspect.cli.screen import is_terminal
from wsinspect.launch.interrupts import nothing_to_end


@click.command(
    epilog=examples(
        "wsinspect browser http://localhost:3000",
        "wsinspect browser --browser firefox https://example.org",
        "wsinspect browser localhost:3000 -- --headless --window-size=1280,800",
    )
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[URL] [-- BROWSER-OPTION...]")
@click.option(
    "--browser",
    "wanted",
    metavar="NAME|PATH",
    shell_complete=complete_browser,
    help="chromium, chrome, edge, firefox, or a path.",
)
@click.option("--new", "is_new", is_flag=True, help="Start a proxy even if one is running.")
@click.option(
    "--capture",
    type=click.Path(path_type=Path),
    help="File to record to; implies --new.",
)
@click.option("--headless", is_flag=True, help="No timeline: print one line per event.")
@click.option("--insecure", is_flag=True, help="Accept any server certificate; implies --new.")
@trusted_option
def browser(
    arguments: tuple[str, ...],
    wanted: str | None,
    is_new: bool,
    capture: Path | None,
    headless: bool,
    insecure: bool,
    trusted: tuple[Path, ...],
) -> int:
    """Open a browser that uses the proxy, for loopback too, and trusts its certificate.

    The profile is new, and deleted when the browser is closed. The proxy is the newest running one
    (`wsinspect ps`); if none runs, one is started, and stopped with the browser. Arguments after -- are
    passed to the browser.

    On a terminal, the timeline shows the traffic live, and leaving it closes the browser.
    """
    from wsinspect.launch.browser.programs import find_browser, page_url
    from wsinspect.launch.browser.session import Visit, browse

    word, extra = split_arguments(arguments)
    url = page_url(word) if word else None
    visit = Visit(
        browser=find_browser(wanted),
        url=url,
        arguments=extra,
        engine_options=[
            *(["--insecure"] if insecure else []),
            *(f"--ca={one.absolute()}" for one in trusted),
        ],
        capture=capture,
        needs_own_engine=is_new or insecure or bool(trusted) or capture is not None,
        say=say,
    )
    if not headless and is_terminal():
        with nothing_to_end():
            from wsinspect.tui.start import watch_browser

        return watch_browser(visit)
    return browse(visit)


def split_arguments(arguments: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The URL, which is the first word unless that is an option, and the browser's own options."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], arguments[1:]
    return None, arguments
