"""`wsinspect completion SHELL`: click's completion script; and what completes captures, modes and filters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.options import examples

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: How many of the newest captures in the default directory are offered by name.
_RECENT = 10
#: What `diagnose` reads, other than captures.
_FOREIGN = (".har", ".flows", ".jsonl")
#: mitmproxy's modes and what each does; a table, because importing mitmproxy takes too long for a Tab.
MODES = {
    "regular": "an HTTP proxy",
    "reverse:": "before one server, as reverse:http://host:port",
    "upstream:": "behind another proxy, as upstream:http://proxy:3128",
    "socks5": "a SOCKS5 proxy",
    "transparent": "for connections that are redirected here",
    "local": "programs of this machine, as local:curl",
    "wireguard": "a WireGuard server",
    "tun": "a TUN interface",
    "dns": "a DNS server",
}


@click.command(
    epilog=examples(
        'eval "$(wsinspect completion bash)"                                       now, or in ~/.bashrc',
        'eval "$(wsinspect completion zsh)"                                        in ~/.zshrc',
        "wsinspect completion fish > ~/.config/fish/completions/wsinspect.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands, options, captures and engines in SHELL.

    The script asks wsinspect itself, so it does not go out of date.
    """
    from click.shell_completion import get_completion_class

    from wsinspect.cli.main import PROGRAM, cli

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(cli, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE")
    # Not click's `source()`: it runs the user's bash to see its version, and exits if that is too old.
    click.echo(script.source_template % script.source_vars())


def complete_capture(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`last`, the newest captures of the default directory, and paths of captures."""
    return _last(incomplete) + complete_capture_file(ctx, param, incomplete)


def complete_diagnosed(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """As `complete_capture`, and files of other programs."""
    return _last(incomplete) + _files(incomplete, (".db", *_FOREIGN))


def complete_capture_file(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """As `complete_capture`, where `last` is not understood."""
    return _files(incomplete, (".db",))


def _last(incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem("last", help="the newest capture")] if "last".startswith(incomplete) else []


def _files(incomplete: str, endings: tuple[str, ...]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from wsinspect.errors import WsinspectError

    items = []
    try:
        items += [CompletionItem(path) for path in _recent_captures() if path.startswith(incomplete)]
    except (OSError, WsinspectError):
        pass  # no home directory, or an unreadable one: nothing to offer
    return items + [CompletionItem(path) for path in _paths(incomplete, endings)]


def complete_mode(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of mitmproxy's modes."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=words) for name, words in MODES.items() if name.startswith(incomplete)]


def complete_filter(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What could stand at the end of a filter: the whole expression with it."""
    from click.shell_completion import CompletionItem

    from wsinspect.filters import complete

    found = complete(incomplete, len(incomplete))
    before = incomplete[: found.start]
    return [CompletionItem(before + one.text, help=one.help) for one in found.candidates]


def complete_scenario(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ready scenarios of `check`, and files."""
    from click.shell_completion import CompletionItem

    from wsinspect.faults.scenarios import scenario_names

    names = [CompletionItem(name) for name in scenario_names() if name.startswith(incomplete)]
    return names + [CompletionItem(path) for path in _paths(incomplete, (".yaml", ".yml", ".json"))]


def complete_engine(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Process ids of the engines that run."""
    from click.shell_completion import CompletionItem

    from wsinspect.launch.engines import list_engines

    pids = [str(engine.pid) for engine in list_engines()]
    return [CompletionItem(pid) for pid in pids if pid.startswith(incomplete)]


def _recent_captures() -> list[str]:
    from wsinspect.launch.paths import captures_dir

    return sorted((str(path) for path in captures_dir().glob("*.db")), reverse=True)[:_RECENT]


def _paths(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """Captures and folders whose path begins so, as the user writes it."""
    start = str(Path(incomplete).expanduser()) if incomplete.startswith("~") else incomplete
    if incomplete.endswith(os.sep) and not start.endswith(os.sep):
        start += os.sep
    prefix, separator, name = start.rpartition(os.sep)
    folder = prefix + separator
    try:
        entries = sorted(os.scandir(folder or os.curdir), key=lambda entry: entry.name)
    except OSError:
        return []
    hits = [one for one in entries if one.name.startswith(name) and (name or not one.name.startswith("."))]
    folders = [f"{folder}{entry.name}{os.sep}" for entry in hits if entry.is_dir()]
    return folders + [f"{folder}{entry.name}" for entry in hits if entry.name.endswith(endings)]


def complete_browser(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """The names of browsers; a path is completed by nothing."""
    from click.shell_completion import CompletionItem

    from wsinspect.launch.browser.programs import PROGRAMS

    return [CompletionItem(name) for name in PROGRAMS if name.startswith(incomplete)]


__all__ = [
    "complete_browser",
    "complete_capture",
    "complete_capture_file",
    "complete_diagnosed",
    "complete_engine",
    "complete_filter",
    "complete_mode",
    "complete_scenario",
    "completion",
]
