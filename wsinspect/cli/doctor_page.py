"""`wsinspect doctor` with the URL of a page: a browser opens it, and each of its WebSockets is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wsinspect.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path

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
        trusted, is_insecure: as the asker has them.
        is_wanted: whether progress is shown.
    """

    target: Target
    extras: Extras
    asker: Asker
    wait_ns: int
    trusted: tuple[Path, ...]
    is_insecure: bool
    is_wanted: bool

    @property
    def engine_options(self) -> list[str]:
        """Options of `wsinspect run`, to trust the same servers."""
        files = [f"--ca={file.absolute()}" for file in self.trusted]
        return [*(["--insecure"] if self.is_insecure else []), *files]


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
        page = _asked_for_permission(asked, page, [one for _, one in pairs], watch)
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


def _asked_for_permission(
    asked: PageAsked, page: PageExamination, examined: Sequence[Examination], watch: Watch
) -> PageExamination:
    """The page, and what a browser says of it that knows where its servers are."""
    from wsinspect.errors import LocalError
    from wsinspect.launch.browser.visiting import PageVisit
    from wsinspect.launch.page import needs_permission, opened_directly, usable_browser

    browser = usable_browser()
    if page.browser is None or isinstance(browser, str) or not any(map(needs_permission, examined)):
        return page
    visit = PageVisit(
        url=page.url,
        browser=browser,
        wait_ns=asked.wait_ns,
        headers=asked.extras.headers,
        cookies=asked.extras.cookies,
        trusted=asked.trusted,
        is_insecure=asked.is_insecure,
        watch=watch,
    )
    try:
        return opened_directly(page, visit)
    except LocalError as error:
        say(f"the page was not opened without the proxy: {error}")
        return page


def _opened(asked: PageAsked, watch: Watch) -> tuple[PageExamination, list[Tried]]:
    import asyncio
    from dataclasses import replace

    from wsinspect.launch.page import (
        is_answer_of_socket,
        look,
        open_page,
        read_page,
        unopened,
        usable_browser,
    )

    watch("asking for the page")
    answer = asyncio.run(look(asked.target, asked.extras, asked.asker))
    if answer is None:
        return unopened(asked.target, asked.extras)
    if is_answer_of_socket(answer.facts):
        return unopened(asked.target, asked.extras, is_socket=True)
    browser = usable_browser()
    if isinstance(browser, str):
        say(f"{browser}: the page is read, not opened")
        page, tried = asyncio.run(read_page(asked.target, answer, asked.extras, asked.asker, browser))
    else:
        page, tried = open_page(
            asked.target,
            browser,
            extras=asked.extras,
            wait_ns=asked.wait_ns,
            engine_options=asked.engine_options,
            watch=watch,
        )
    return replace(page, status=answer.facts.status), tried
