"""`wsinspect doctor` with the URL of a page: a browser opens it, and each of its WebSockets is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

if TYPE_CHECKING:
    from wsinspect.doctor.asker import Asker
    from wsinspect.doctor.configuration.judging import Explained
    from wsinspect.doctor.examination import Examination, Watch
    from wsinspect.doctor.target import Extras, Target
    from wsinspect.launch.page import PageExamination, Tried
    from wsinspect.present.terminal import Palette

_INTERRUPTED: Final = 130


class Examined(NamedTuple):
    """An examination, the place in a configuration that explains it, and whether Ctrl-C ended its trial."""

    found: Examination
    explained: Explained | None
    is_stopped: bool


@dataclass(frozen=True, kw_only=True)
class PageAsked:
    """A page, and how it is opened; `Extras` are sent with its requests.

    Attributes:
        is_wanted: whether progress is shown.
    """

    target: Target
    extras: Extras
    asker: Asker
    wait_ns: int
    engine_options: Sequence[str]
    is_wanted: bool


Show = Callable[[Callable[[], dict[str, Any]], "Callable[[Palette, int | None], Iterator[str]]"], None]


def doctor_page(
    asked: PageAsked,
    examined: Callable[[Target, Extras, Watch], Examined],
    show: Show,
    *,
    include_secrets: bool,
    is_verbose: bool,
) -> tuple[int, Explained | None]:
    """Open or read the page, ask what it tries, and print it.

    Returns:
        The exit code, and what `--write` saves: the first defect of a configuration that explains one.
    """
    from dataclasses import replace

    from wsinspect.cli.output import screen_rows
    from wsinspect.cli.progress import asking
    from wsinspect.launch.page_report import page_lines

    done: list[Examined] = []
    with asking(is_wanted=asked.is_wanted) as watch:
        page, tried = _opened(asked, watch)
        pairs = []
        for one in tried:
            done.append(examined(one.target, one.extras, watch))
            pairs.append((one, done[-1].found))
            if done[-1].is_stopped:
                break
    page = replace(page, examined=tuple(pairs))
    show(
        lambda: page.as_json(include_secrets=include_secrets),
        lambda palette, columns: page_lines(
            page,
            palette,
            include_secrets=include_secrets,
            is_verbose=is_verbose,
            columns=columns,
            rows=screen_rows(),
        ),
    )
    is_stopped = any(one.is_stopped for one in done)
    explained = next((one.explained for one in done if one.explained is not None), None)
    return _INTERRUPTED if is_stopped else page.exit_code, explained


def _opened(asked: PageAsked, watch: Watch) -> tuple[PageExamination, list[Tried]]:
    import asyncio

    from wsinspect.launch.page import look, open_page, read_page, unopened, usable_browser

    watch("asking for the page")
    answer = asyncio.run(look(asked.target, asked.extras, asked.asker))
    if answer is None:
        return unopened(asked.target, asked.extras)
    browser = usable_browser()
    if isinstance(browser, str):
        click.echo(f"wsinspect: {browser}: the page is read, not opened", err=True)
        return asyncio.run(read_page(asked.target, answer, asked.extras, asked.asker, browser))
    return open_page(
        asked.target,
        browser,
        extras=asked.extras,
        wait_ns=asked.wait_ns,
        engine_options=asked.engine_options,
        watch=watch,
    )
