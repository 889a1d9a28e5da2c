"""`wsinspect run`: the proxy."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.capture_options import record_option
from wsinspect.cli.completion import complete_capture_file, complete_mode
from wsinspect.cli.configurations import check_configurations, config_option
from wsinspect.cli.fault_options import control_options, fault_options, make_board
from wsinspect.cli.options import (
    ADDRESS,
    DURATION,
    REGEX,
    SIZE,
    TAP,
    TARGET,
    Once,
    TapSpec,
    examples,
    insecure_option,
    trusted_option,
)
from wsinspect.cli.output import (
    narration,
    note,
    release,
)  # now: without file descriptors nothing can be imported later
from wsinspect.cli.screen import (
    HandsOn,
    is_terminal,
    options_for_child,
    ready_option,
    screen_options,
    write_ready,
)
from wsinspect.launch.interrupts import nothing_to_end
from wsinspect.net import Address, Endpoint
from wsinspect.text import escape

if TYPE_CHECKING:
    from wsinspect.faults.sessions import SessionBy
    from wsinspect.launch.telemetry import Target, TelemetryChild
    from wsinspect.proxy.recorded import RecordedServer
    from wsinspect.proxy.seams.http2 import Mode
    from wsinspect.proxy.taps import Tap

DEFAULT_LISTEN = Address("127.0.0.1", 8080)


@click.command(
    cls=HandsOn,
    epilog=examples(
        "wsinspect run --reverse http://localhost:3000",
        "wsinspect run --listen 0 --headless --json",
        "wsinspect run --tap edge=8081=http://127.0.0.1:80 --tap origin=3001=http://127.0.0.1:3000",
    ),
)
@click.option(
    "--listen",
    "-l",
    cls=Once,
    instead="each further address is a tap of its own, as in --mode regular@8081 or --tap NAME=PORT=URL",
    type=ADDRESS,
    help="Address to listen on; 127.0.0.1:8080 by default, port 0 for any free port.",
)
@click.option(
    "--reverse",
    cls=Once,
    instead="each server has its tap, as in --tap NAME=PORT=URL",
    type=TARGET,
    help="Act as a reverse proxy for this server, not as a regular proxy.",
)
@click.option("--tap", "taps", type=TAP, multiple=True, help="A named reverse proxy; repeatable.")
@click.option(
    "--mode",
    "modes",
    multiple=True,
    metavar="SPEC",
    shell_complete=complete_mode,
    help="A mitmproxy mode, such as socks5@1080 or upstream:http://proxy:3128 (docs/modes.md).",
)
@click.option(
    "--ignore-host",
    "ignore_hosts",
    type=REGEX,
    multiple=True,
    help="Don't intercept matching HOST:PORTs.",
)
@click.option(
    "--host",
    type=click.Choice(["keep", "rewrite"]),
    help="Keep the client's Host header, or send the target's.",
)
@record_option
@click.option("--name", cls=Once, help="Name of the new capture, for other commands: wsinspect show NAME.")
@click.option("--append", is_flag=True, help="Add to an existing capture.")
@click.option("--snaplen", type=SIZE, help="Store only the first bytes of each payload, such as 4KiB.")
@click.option(
    "--max-capture-size",
    type=SIZE,
    callback=lambda context, option, value: _check_capture_size(value),
    help="Delete the oldest data above this size; 4GiB by default.",
)
@click.option("--inflate-cap", type=SIZE, help="Largest message to keep decompressed; 64MiB by default.")
@fault_options
@click.option(
    "--replay",
    "recording",
    cls=Once,
    instead="wsinspect merge makes one capture of several",
    type=click.Path(path_type=Path),
    metavar="CAPTURE",
    shell_complete=complete_capture_file,
    help="Answer known handshakes from this capture instead of the server.",
)
@click.option(
    "--script",
    "-s",
    "scripts",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE.py",
    help="Let functions of this file see and change messages (docs/scripts.md); repeatable.",
)
@click.option(
    "--headless", is_flag=True, help="No timeline: print one line per event, until SIGINT or SIGTERM."
)
@screen_options
@click.option("--json", "as_json", is_flag=True, help="Print the events as JSON, one per line.")
@click.option("--frames", is_flag=True, help="Also print each frame, with its payload.")
@config_option
@click.option(
    "--otlp",
    metavar="URL",
    help="Send spans and metrics to this OpenTelemetry collector; OTEL_* variables work too (docs/fleet.md).",
)
@insecure_option
@trusted_option
@click.option(
    "--http2-websocket",
    type=click.Choice(["mirror", "bridge", "off"]),
    default="mirror",
    help="WebSockets over HTTP/2: as the server offers them (the default), between HTTP versions, or never.",
)
@click.option("--strip-alt-svc", is_flag=True, help="Remove the server's offers of HTTP/3 (Alt-Svc).")
@click.option("--ca-dir", type=click.Path(path_type=Path), help="Directory of the CA.")
@click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE", help="Set a mitmproxy option; repeatable."
)
@click.option("--no-page-scan", is_flag=True, help="Don't scan pages for WebSockets they never open.")
@click.option(
    "--page-wait",
    type=DURATION,
    default="10s",
    help="How long to wait for a page to open its WebSocket; 10s by default.",
)
@click.option("--no-splice", is_flag=True, hidden=True, help="Keep every byte on mitmproxy's layers.")
@click.option("--quiet", "-q", is_flag=True, help="Don't print hints on what to do next.")
@click.option("--verbose", "-v", is_flag=True, help="Print mitmproxy's log on stderr.")
@ready_option
def run(
    listen: Address | None,
    reverse: Endpoint | None,
    taps: tuple[TapSpec, ...],
    modes: tuple[str, ...],
    ignore_hosts: tuple[str, ...],
    host: str | None,
    capture: Path | None,
    name: str | None,
    append: bool,
    snaplen: int | None,
    max_capture_size: int,
    inflate_cap: int | None,
    scenario: Path | None,
    specs: tuple[str, ...],
    breakpoints: tuple[str, ...],
    preset: str | None,
    seed: int | None,
    time_scale: float,
    session_by: SessionBy | None,
    control: Address | None,
    control_token_file: Path | None,
    recording: Path | None,
    scripts: tuple[Path, ...],
    headless: bool,
    gap: int | None,
    is_ascii: bool,
    is_plain: bool,
    as_json: bool,
    frames: bool,
    configurations: tuple[str, ...],
    otlp: str | None,
    insecure: bool,
    trusted: tuple[Path, ...],
    http2_websocket: Mode,
    strip_alt_svc: bool,
    ca_dir: Path | None,
    settings: tuple[str, ...],
    no_page_scan: bool,
    page_wait: int,
    no_splice: bool,
    quiet: bool,
    verbose: bool,
    ready_fd: int | None,
) -> int:
    """Start the proxy between a WebSocket client and its server.

    Point a browser at it (a regular proxy on 127.0.0.1:8080; `wsinspect browser` opens one that uses it), or
    put it in front of one server with --reverse. On a terminal, the timeline shows the traffic live.
    """
    configurations = check_configurations(configurations)
    telemetry = _telemetry_target(otlp)
    if append and capture is None:
        raise click.UsageError("--append needs --capture FILE")
    if name is not None and capture is not None:
        raise click.UsageError(
            "--name is for a new capture in the default directory; --capture names its file"
        )
    path = _capture_path(capture, name)
    if not (headless or as_json or frames) and is_terminal():
        with nothing_to_end():
            from wsinspect.launch.child import EngineChild
            from wsinspect.tui.start import watch_engine

        options = options_for_child("gap", "is_ascii", "is_plain", "capture", "name", "append")
        engine = EngineChild(options, path, appends=append)
        return watch_engine(
            engine, gap_ns=gap, is_ascii=is_ascii, is_plain=is_plain, keeps_empty=capture is not None
        )
    # What can be refused is refused before mitmproxy is imported, which takes most of a start.
    from wsinspect.recorder.prepare import check_new

    check_new(path, append=append)
    listeners = make_taps(listen, reverse, taps, host, modes)
    names = [tap.name for tap in listeners]
    board = make_board(
        scenario, specs, preset, seed, time_scale, names, _warn, session_by, breakpoints=breakpoints
    )

    from wsinspect.proxy.scripts import load_script, rule_of

    loaded = [load_script(path, _warn) for path in scripts]
    for one in loaded:
        board.add(board.unique(rule_of(one)), f"-s {one.path}")

    with nothing_to_end():
        from wsinspect.launch.engines import register
        from wsinspect.launch.paths import ca_dir as default_ca_dir
        from wsinspect.launch.paths import ensure_private_dir
        from wsinspect.proxy.engine import EngineOptions, quiet_logging, run_engine
        from wsinspect.proxy.recording import Narration

    quiet_logging(verbose)
    authority = ensure_private_dir((ca_dir or default_ca_dir()).absolute())
    sender = _telemetry(telemetry, path)
    # A caller with a pipe for `ready` shows a timeline or a browser, and treats stderr as trouble.
    with_advice = not quiet and not as_json and ready_fd is None
    engine_options = EngineOptions(
        taps=listeners,
        capture=path,
        ca_dir=authority,
        append=append,
        snaplen=snaplen,
        max_capture_size=max_capture_size,
        inflate_cap=inflate_cap,
        insecure=insecure,
        trusted=trusted,
        settings=settings,
        ignore_hosts=ignore_hosts,
        may_splice=not no_splice,
        page_wait_seconds=None if no_page_scan else page_wait / 1e9,
        control=control_options(control, control_token_file),
        recorded=_recorded_server(recording),
        http2_websocket=http2_websocket,
        strips_alt_svc=strip_alt_svc,
        board=board,
        narration=Narration("json" if as_json else "human", frames, configurations),
        register=partial(register, path, ca_dir=authority),
        on_ready=lambda facts: _on_ready(facts, as_json, ready_fd, with_advice=with_advice, sender=sender),
        warn=_warn,
    )
    code = run_engine(engine_options)
    if sender is not None:
        sender.finish()
    for one in loaded:
        if summary := one.summary():
            _warn(summary)
    if code == 0 and capture is None:
        _discard_if_empty(path)
    return code


def _telemetry_target(otlp: str | None) -> Target | None:
    if otlp is None and not any(name.startswith("OTEL_") for name in os.environ):
        return None
    from wsinspect.launch.telemetry import target_of

    return target_of(otlp, os.environ)


def _telemetry(target: Target | None, path: Path) -> TelemetryChild | None:
    if target is None:
        return None
    from wsinspect.launch.telemetry import TelemetryChild

    return TelemetryChild(target, path, _warn)


def _on_ready(
    facts: dict[str, Any],
    as_json: bool,
    ready_fd: int | None,
    *,
    with_advice: bool,
    sender: TelemetryChild | None,
) -> None:
    release()
    _say_ready(facts, as_json, ready_fd, with_advice=with_advice)
    if sender is not None:
        sender.start()


def _capture_path(capture: Path | None, name: str | None) -> Path:
    from wsinspect.launch.captures import path_for
    from wsinspect.launch.paths import new_capture_path

    if capture is not None:
        return capture.absolute()
    _say_old_captures()
    return (new_capture_path() if name is None else path_for(name)).absolute()


def _discard_if_empty(path: Path) -> None:
    from wsinspect.launch.captures import NOTHING_KEPT, discard_if_empty

    if discard_if_empty(path):
        _warn(NOTHING_KEPT)


def _recorded_server(path: Path | None) -> RecordedServer | None:
    if path is None:
        return None
    from wsinspect.proxy.recorded import RecordedServer

    return RecordedServer(path, lambda line: _warn(escape(line)))


def _check_capture_size(size: int | None) -> int:
    from wsinspect.journal.budget import DEFAULT_BYTES, LEAST_BYTES
    from wsinspect.units import format_size

    if size is not None and size < LEAST_BYTES:
        raise click.BadParameter(f"a capture needs at least {format_size(LEAST_BYTES)}")
    return DEFAULT_BYTES if size is None else size


def make_taps(
    listen: Address | None,
    reverse: Endpoint | None,
    specs: tuple[TapSpec, ...],
    policy: str | None,
    modes: tuple[str, ...] = (),
) -> list[Tap]:
    """The taps that the options ask for: `--tap`s and `--mode`s, and one for `--reverse`.

    A regular proxy is there when nothing else is, or when `--listen` has no other use.
    """
    from wsinspect.proxy.taps import Tap

    taps: list[Tap] = []
    host, port = listen or DEFAULT_LISTEN
    if reverse is not None:
        taps.append(Tap.reverse(str(reverse), name="reverse", host=host, port=port, policy=policy))
    elif not modes and (listen is not None or not specs):
        taps.append(Tap("regular", host=host, port=port))
    if modes:
        from wsinspect.proxy.modes import mode_tap

        for mode in modes:
            taken = [tap.name for tap in taps]
            taps.append(mode_tap(mode, listen=listen, policy=policy, taken=taken))
    for spec in specs:
        if any(spec.name == tap.name for tap in taps):
            raise click.UsageError(f"two taps are called {spec.name!r}; give each its own name")
        host, port = spec.listen
        taps.append(
            Tap.reverse(str(spec.target), name=spec.name, host=host, port=port, policy=policy, is_named=True)
        )
    return taps


def _say_old_captures() -> None:
    """What is in the default directory: nothing else says that it grows."""
    from wsinspect.launch.captures import old_captures
    from wsinspect.launch.paths import captures_dir
    from wsinspect.units import format_size

    old = old_captures()
    if old.captures:
        captures = "1 capture" if old.captures == 1 else f"{old.captures} captures"
        kept = f"{captures} of earlier runs ({format_size(old.size_bytes)}) in {captures_dir()}"
        _warn(f"{kept}; wsinspect ls lists {'it' if old.captures == 1 else 'them'}")


def _say_ready(facts: dict[str, Any], as_json: bool, ready_fd: int | None, *, with_advice: bool) -> None:
    from wsinspect.proxy.engine import ready_line

    line = ready_line(facts, time.time_ns())
    if ready_fd is not None:
        write_ready(ready_fd, line)
    if as_json:
        _print(line)
    else:
        for listener in facts["listeners"]:
            is_open = listener["port"] is not None
            where = f"listening on {Address(listener['host'], listener['port'])}" if is_open else "watching"
            _print("  ".join(dict.fromkeys((where, listener["tap"], listener["mode"]))))
        _print(f"recording to {facts['capture']}")
    for listener in facts["listeners"]:
        if listener["host"] is not None and not _is_loopback(listener["host"]):
            _warn(f"port {listener['port']} listens on {listener['host']}: other machines can use this proxy")
    if with_advice:
        _advise(facts["listeners"])


def _advise(listeners: list[dict[str, Any]]) -> None:
    from wsinspect.cli.hints import first_steps

    for line in first_steps(listeners):
        note(line)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _print(line: str) -> None:
    """stdout is data; a reader that has gone away does not stop the proxy."""
    try:
        print(line, flush=True)
    except (BrokenPipeError, OSError) as error:
        _warn(f"stdout: {error}")


def _warn(line: str) -> None:
    note(narration(f"wsinspect: {line}"))
