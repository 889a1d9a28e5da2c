"""`wsinspect doctor`: asks a WebSocket URL what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from wsinspect.cli.configurations import DEFAULT_PATCH, config_option
from wsinspect.cli.options import DURATION, color_option, examples, json_option
from wsinspect.cli.output import say

if TYPE_CHECKING:
    from wsinspect.doctor.examination import Examination
    from wsinspect.doctor.holder import Watched

T = TypeVar("T")
_SECOND_NS: Final = 10**9
_LEAST_IDLE_NS: Final = _SECOND_NS
_INTERRUPTED: Final = 130


@click.command(
    epilog=examples(
        "wsinspect doctor wss://chat.example.com/socket",
        "wsinspect doctor wss://chat.example.com/socket --cookie session=abc --origin https://example.com",
        "wsinspect doctor wss://chat.example.com/socket --direct http://localhost:3000",
        "wsinspect doctor wss://chat.example.com/socket --config /etc/nginx --prove --write fix.patch",
        "nginx -T | wsinspect doctor wss://chat.example.com/socket --config -",
        "wsinspect doctor wss://chat.example.com/socket --idle 5m",
        "wsinspect doctor https://chat.example.com/        a page, and each WebSocket that it tries",
        "wsinspect doctor localhost:3000/graphql --subprotocol graphql-transport-ws",
        "wsinspect doctor wss://chat.example.com/socket --json | jq '.verdict, .findings[].id'",
        failed="at least one finding is an error",
    )
)
@click.argument("url")
@click.option(
    "--direct",
    "directs",
    multiple=True,
    metavar="URL",
    help="The server behind the proxy: ask it the same, and name the hop that differs; repeatable, in order.",
)
@config_option
@click.option(
    "--write",
    "patch",
    type=click.Path(path_type=Path, dir_okay=False),
    is_flag=False,
    flag_value=DEFAULT_PATCH,
    metavar="[FILE]",
    help=f"Save the diff of --config as a patch; {DEFAULT_PATCH} by default.",
)
@click.option(
    "--prove",
    is_flag=True,
    help="Run the proxy's own program on loopback, once with its configuration and once with the diff.",
)
@click.option("--origin", metavar="ORIGIN", help="Origin to send instead of the server's own; '' for none.")
@click.option(
    "--subprotocol",
    "subprotocols",
    multiple=True,
    metavar="NAME",
    help="Subprotocol to offer; repeatable, or several with commas in between.",
)
@click.option(
    "--header", "-H", "headers", multiple=True, metavar="'NAME: VALUE'", help="Header to send; repeatable."
)
@click.option("--cookie", "cookies", multiple=True, metavar="NAME=VALUE", help="Cookie to send; repeatable.")
@click.option(
    "--query", "queries", multiple=True, metavar="NAME=VALUE", help="Parameter to add to the URL; repeatable."
)
@click.option(
    "--ca",
    "trusted",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Also trust server certificates issued by this CA (PEM); repeatable.",
)
@click.option("--insecure", is_flag=True, help="Continue when the server's certificate is not trusted.")
@click.option(
    "--timeout", type=DURATION, default="10s", help="How long to wait for each answer; 10s by default."
)
@click.option(
    "--idle",
    type=DURATION,
    help="Also hold a few connections open for up to this long, to find idle and lifetime limits;"
    " Ctrl-C ends that early.",
)
@click.option(
    "--message",
    metavar="TEXT",
    help="With --idle: a text message that one of them sends regularly, such as your heartbeat.",
)
@click.option(
    "--wait",
    type=DURATION,
    default="10s",
    help="How long a page may take to open its first WebSocket; 10s by default.",
)
@click.option("--include-secrets", is_flag=True, help="Don't mask cookies, credentials and tokens.")
@click.option("--verbose", "-v", is_flag=True, help="Print the bytes of each request and response.")
@json_option
@color_option
def doctor(
    url: str,
    directs: tuple[str, ...],
    configurations: tuple[str, ...],
    patch: Path | None,
    prove: bool,
    origin: str | None,
    subprotocols: tuple[str, ...],
    headers: tuple[str, ...],
    cookies: tuple[str, ...],
    queries: tuple[str, ...],
    trusted: tuple[Path, ...],
    insecure: bool,
    timeout: int,
    idle: int | None,
    message: str | None,
    wait: int,
    include_secrets: bool,
    verbose: bool,
    as_json: bool,
    color: str,
) -> int:
    """Find out why a WebSocket URL fails, and how to fix it.

    Sends the opening handshake of a browser to URL (ws:// or wss://), then variations of it that each answer
    one question: about 20 requests at most, one at a time, to this server and those of --direct. On the
    proxy's machine a 502 or 503 is followed to the server that --config names. Nothing is changed there.

    With a page's URL (http:// or https://), a Chromium opens the page in a temporary profile, and each
    WebSocket that it tries is asked. Without a Chromium the page and its scripts are read.
    """
    import asyncio
    import os
    from dataclasses import replace

    from wsinspect.cli.configurations import check_patch, check_prove, prove_fix, read, save_patch
    from wsinspect.cli.doctor_page import Examined, PageAsked, doctor_page
    from wsinspect.cli.output import echo, echo_json, prose_columns, screen_rows
    from wsinspect.cli.progress import asking
    from wsinspect.doctor.asker import Asker
    from wsinspect.doctor.examination import Watch, ask_behind, examine
    from wsinspect.doctor.report import report_lines
    from wsinspect.doctor.target import (
        Extras,
        Target,
        page_target,
        parse_cookie,
        parse_direct,
        parse_header,
        parse_subprotocols,
        parse_target,
        query_of,
        with_query,
    )
    from wsinspect.present.terminal import Palette

    if idle is not None and idle < _LEAST_IDLE_NS:
        raise click.UsageError("--idle has to be 1s or longer")
    if message is not None and idle is None:
        raise click.UsageError("--message goes with --idle")
    if timeout <= 0:
        raise click.UsageError("--timeout has to be longer than nothing")
    page = _parsed(lambda: page_target(url))
    if page is not None and directs:
        raise click.UsageError("--direct goes with a WebSocket URL, not with a page")
    target, assumed = (page, None) if page is not None else _parsed(lambda: parse_target(url))
    target = with_query(target, queries)
    page = None if page is None else target
    behind = [_parsed(lambda one=one: parse_direct(one, target)) for one in directs]  # type: ignore[misc]
    extras = Extras(
        origin=origin,
        subprotocols=_parsed(lambda: parse_subprotocols(subprotocols)),
        headers=tuple(_parsed(lambda one=one: parse_header(one)) for one in headers),  # type: ignore[misc]
        cookies=tuple(_parsed(lambda one=one: parse_cookie(one)) for one in cookies),  # type: ignore[misc]
        query=query_of(queries),
    )
    if patch is not None:
        check_patch(patch, configurations)
    if prove:
        check_prove(configurations)
    places = read(configurations)
    if assumed:
        say(assumed)
    asker = Asker(trusted=trusted, is_insecure=insecure, timeout_ns=timeout)

    def examined(target: Target, extras: Extras, watch: Watch) -> Examined:
        found, is_stopped = _until_stopped(
            idle,
            message,
            lambda watched: examine(
                target,
                extras,
                asker,
                timeout_ns=timeout,
                behind=behind,
                assumed=assumed,
                environment=os.environ,
                watch=watch,
                idle=watched,
            ),
            is_wanted=not as_json,
        )
        explained = None
        if places:
            from wsinspect.doctor.configuration.judging import passed_on_to, versions_of, with_configuration

            versions = versions_of(one.facts.raw_response_in for one in found.answers)
            judgement, explained = with_configuration(found.judgement, places, target, versions)
            if (backend := passed_on_to(explained, target)) is not None:
                found, answered = asyncio.run(
                    ask_behind(found, backend, extras, asker, timeout_ns=timeout, watch=watch)
                )
                if answered is not None:
                    judgement, explained = with_configuration(
                        found.judgement, places, target, versions, answered
                    )
            if prove:
                judgement = prove_fix(judgement, explained, places, target)
            found = replace(found, judgement=judgement)
        if found.stopped:
            say(found.stopped)
        return Examined(found, explained, is_stopped)

    def show(
        content: Callable[[], dict[str, Any]], lines: Callable[[Palette, int | None], Iterator[str]]
    ) -> None:
        if as_json:
            echo_json(content())
            return
        for line in lines(Palette.choose(color), prose_columns()):
            echo(line)

    if page is not None:
        asked = PageAsked(
            target=page,
            extras=extras,
            asker=asker,
            wait_ns=wait,
            trusted=trusted,
            is_insecure=insecure,
            is_wanted=not as_json,
        )
        code, explained = doctor_page(
            asked, examined, show, include_secrets=include_secrets, is_verbose=verbose
        )
    else:
        with asking(is_wanted=not as_json) as watch:
            one = examined(target, extras, watch)
        show(
            lambda: one.found.as_json(include_secrets=include_secrets),
            lambda palette, columns: report_lines(
                one.found,
                palette,
                include_secrets=include_secrets,
                is_verbose=verbose,
                columns=columns,
                rows=screen_rows(),
            ),
        )
        code, explained = _INTERRUPTED if one.is_stopped else one.found.exit_code, one.explained
    if patch is not None:
        save_patch(patch, explained)
    return code


def _until_stopped(
    idle: int | None,
    message: str | None,
    examined: Callable[[Watched | None], Coroutine[Any, Any, Examination]],
    *,
    is_wanted: bool,
) -> tuple[Examination, bool]:
    """The examination, and whether Ctrl-C ended its trial of limits early.

    Args:
        idle: nanoseconds; None without such a trial.
    """
    import asyncio
    import signal

    from wsinspect.cli.progress import filling
    from wsinspect.doctor.hold import Trial
    from wsinspect.doctor.holder import Watched

    async def run() -> tuple[Examination, bool]:
        if idle is None:
            return await examined(None), False
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def on_signal() -> None:
            loop.remove_signal_handler(signal.SIGINT)  # the next one ends the program
            stop.set()

        with filling("holding connections", idle, is_wanted=is_wanted) as ticks:
            trial = Trial(duration_ns=idle, message=(message or "").encode("utf-8", "surrogateescape"))
            watched = Watched(
                trial=trial,
                begins=lambda: loop.add_signal_handler(signal.SIGINT, on_signal),
                ticks=ticks,
                stop=stop,
            )
            return await examined(watched), stop.is_set()

    return asyncio.run(run())


def _parsed(parse: Callable[[], T]) -> T:
    try:
        return parse()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
