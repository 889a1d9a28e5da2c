"""Every key of the screens: what it does, its id in a user's key map, and what the footer and the docs say.

`python -m wsinspect.tui.keys` prints the table of docs/keys.md. A key map is a TOML file, by default
`~/.config/wsinspect/keys.toml`, with a table `[keys]` of ids and keys: `"frames.follow" = "end,f8"`.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType

from wsinspect.errors import UsageError


class Key(NamedTuple):
    """One binding.

    Attributes:
        keys: Textual's names, by comma.
        shown: how people write it.
        action: of the app for `APP_KEYS`, of the page for those of a page.
        words: what it does.
        id: its name in a key map.
        is_everywhere: on the other pages too, where it shows the main page first.
    """

    keys: str
    shown: str
    action: str
    words: str
    id: str
    is_everywhere: bool = False


#: Keys of every page.
APP_KEYS: Final = (
    Key("1", "1", "focus_pane(1)", "connections", "pane.connections"),
    Key("2", "2", "focus_pane(2)", "overview", "pane.overview"),
    Key("3", "3", "focus_pane(3)", "frames", "pane.frames"),
    Key("4", "4", "focus_pane(4)", "inspector", "pane.inspector"),
    Key("h", "h", "page('handshake')", "handshake: what each side saw", "page.handshake"),
    Key("t", "t", "page('timeline')", "timeline: connections on one time axis", "page.timeline"),
    Key("i", "i", "page('findings')", "findings", "page.findings"),
    Key("f", "f", "page('faults')", "faults", "page.faults"),
    Key("S", "S", "page('statistics')", "statistics: rates, sizes, round trips, shapes", "page.statistics"),
    Key("W", "W", "page('sandwich')", "sandwich: a connection before and behind a hop", "page.sandwich"),
    Key("escape", "esc", "back", "back; end the search; clear the filter; stop a scan", "back"),
    Key("o", "o", "pager", "open what is shown in $PAGER", "pager"),
    Key("ctrl+o", "ctrl+o", "jump", "jump mode: a letter for each pane and row", "jump"),
    Key("Y", "Y", "copy_curl", "copy the opening handshake as curl", "copy.curl"),
    Key(
        "ctrl+y",
        "ctrl+y",
        "copy_as",
        "copy the opening handshake for websocat, wscat, JavaScript or Python",
        "copy.as",
    ),
    Key("c", "c", "next_clock", "times: relative, delta, local, UTC", "clock.next"),
    Key(
        "e",
        "e",
        "export",
        "export all or part of it: HAR, JSONL, pcapng, flows and others",
        "export",
    ),
    Key("x", "x", "inject", "inject a frame into the selected connection", "inject"),
    Key("X", "X", "end_connection", "end the selected connection: CLOSE, FIN or RST", "connection.end"),
    Key("P", "P", "doctor", "ask the selected connection's server why it fails", "connection.doctor"),
    Key("F", "F", "reset_faults", "remove all faults at once", "faults.reset"),
    Key("b", "b", "browser", "open a browser that uses this proxy", "browser"),
    Key("C", "C", "connect", "connect: a client to type into, through this proxy", "connect"),
    Key("B", "B", "page('intercept')", "intercept: what breakpoints hold", "page.intercept"),
    Key("R", "R", "restart", "restart a proxy that has exited", "engine.restart"),
    Key("question_mark,f1", "?", "help", "help for the focused pane", "help"),
    Key("ctrl+p", "ctrl+p", "command_palette", "command palette", "palette"),
    Key(
        "ctrl+z",
        "ctrl+z",
        "to_shell",
        "to the shell; fg returns, recording continues",
        "shell",
    ),
    Key("q,ctrl+q,ctrl+c", "q", "leave", "quit, and stop the proxy if it was started here", "quit"),
)
#: Keys of the main page.
MAIN_KEYS: Final = (
    Key("tab", "tab", "next_pane(1)", "next pane", "pane.next"),
    Key("shift+tab", "shift+tab", "next_pane(-1)", "previous pane", "pane.before"),
    Key("backslash", "\\", "maximise", "maximise the pane, and back", "pane.maximise"),
    Key("plus,equals_sign", "+", "resize(1)", "larger inspector (in the overview: zoom in)", "pane.larger"),
    Key("minus", "-", "resize(-1)", "smaller inspector (in the overview: zoom out)", "pane.smaller"),
    Key("T", "T", "follow", "follow the newest frame (same as End)", "frames.follow", True),
    Key("space", "space", "pause", "pause the frames pane; recording continues", "frames.pause"),
    Key("slash", "/", "filter", "filter", "filter.edit", True),
    Key("ctrl+f", "ctrl+f", "find", "find frames; in the inspector, text in the payload", "find.edit", True),
    Key("U", "U", "undo_filter", "undo the last change of the filter", "filter.undo"),
    Key("colon", ":", "go", "go to: :98197 (frame), :conn 2, :t 14.3, :t 14:03:22, :t +12.5s", "go", True),
    Key("a", "a", "all_connections", "frames from all connections", "connections.all", True),
    Key("n", "n", "next_finding(1)", "next match of a search; else next finding", "finding.next", True),
    Key("N", "N", "next_finding(-1)", "previous match; else previous finding", "finding.before", True),
    Key("right_curly_bracket", "}", "next_gap(1)", "next gap", "gap.next"),
    Key("left_curly_bracket", "{", "next_gap(-1)", "previous gap", "gap.before"),
    Key(
        "right_square_bracket,left_square_bracket",
        "[ ]",
        "mate",
        "matching frame: PING and PONG, fragments, the two CLOSEs",
        "mate",
    ),
    Key("m", "m", "mark", "mark this frame (in playback: an end of the selection)", "mark.set"),
    Key("apostrophe", "'", "next_mark", "jump to the next mark", "mark.next"),
    Key("s", "s", "playback", "play the capture", "playback", True),
    Key("v", "v", "next_view", "show the payload as text, JSON, hex, or decoded", "payload.view"),
    Key("u", "u", "next_form", "show the payload inflated, unmasked, or as on the wire", "payload.form"),
    Key(
        "D",
        "D",
        "compare",
        "compare with the previous message of the same shape, the mate, or a marked frame",
        "payload.compare",
    ),
    Key(
        "H",
        "H",
        "requests",
        "show or hide plain HTTP requests of the same client near an attempt",
        "frames.requests",
    ),
    Key("L", "L", "columns", "choose the columns of the frames pane", "frames.columns"),
    Key("y", "y", "copy", "copy what is selected: the payload, the finding or the URL", "copy"),
)
#: Keys of the handshake page.
HANDSHAKE_KEYS: Final = (
    Key("d", "d", "only_differences", "show differences only (handshake)", "handshake.differences"),
    Key("y", "y", "copy", "copy the headers (handshake)", "handshake.copy"),
)
#: Keys of the timeline page.
TIMELINE_KEYS: Final = (
    Key("space", "space", "unfold", "unfold the client's story, or fold it (timeline)", "timeline.unfold"),
    Key("y", "y", "copy", "copy the URL (timeline)", "timeline.copy"),
)
#: Keys of the findings page.
FINDING_KEYS: Final = (
    Key(
        "r",
        "r",
        "read_configuration",
        "read the proxy's configuration: the file, the line and the diff (findings)",
        "findings.configuration",
    ),
    Key("y", "y", "copy", "copy the finding with its fix (findings)", "findings.copy"),
    Key("space", "space", "unfold", "unfold what says the same, or fold it (findings)", "findings.unfold"),
)
#: Keys of the faults page.
FAULT_KEYS: Final = (
    Key("a", "a", "add_fault", "add a rule (faults)", "faults.add"),
    Key("enter", "enter", "edit_fault", "change the rule (faults)", "faults.edit"),
    Key("space", "space", "arm_fault", "arm or disarm the rule (faults)", "faults.arm"),
    Key("x,delete", "x", "remove_fault", "remove the rule (faults)", "faults.remove"),
    Key("y", "y", "copy_fault", "copy the rule as --fault (faults)", "faults.copy"),
)
#: Keys of the statistics page.
STATISTICS_KEYS: Final = (
    Key("y", "y", "copy", "copy the numbers (statistics)", "statistics.copy"),
    Key("r", "r", "span", "the whole, or the span of the overview (statistics)", "statistics.span"),
)
#: Keys of the sandwich page.
SANDWICH_KEYS: Final = (
    Key("p", "p", "partner", "go to the other side's connection (sandwich)", "sandwich.partner"),
    Key("d", "d", "only_differences", "show differences only (sandwich)", "sandwich.differences"),
)
#: Keys of the intercept page.
INTERCEPT_KEYS: Final = (
    Key("enter,p", "enter", "pass_held", "pass it as it came (intercept)", "intercept.pass"),
    Key("e", "e", "edit_held", "edit it in place (intercept)", "intercept.edit"),
    Key("E", "E", "editor_held", "edit it in $EDITOR (intercept)", "intercept.editor"),
    Key("d,delete", "d", "drop_held", "drop it (intercept)", "intercept.drop"),
    Key("r", "r", "answer_held", "answer its sender instead (intercept)", "intercept.answer"),
    Key("A", "A", "pass_all", "pass all (intercept)", "intercept.all"),
    Key("a", "a", "add_breakpoint", "add a breakpoint (intercept)", "intercept.add"),
)
#: By page; those of the app belong to none.
PAGE_KEYS: Final = {
    "main": MAIN_KEYS,
    "handshake": HANDSHAKE_KEYS,
    "timeline": TIMELINE_KEYS,
    "findings": FINDING_KEYS,
    "faults": FAULT_KEYS,
    "intercept": INTERCEPT_KEYS,
    "statistics": STATISTICS_KEYS,
    "sandwich": SANDWICH_KEYS,
}
#: Keys that the main page takes before the focused pane does: tab, which would change the focus in Textual's
#: own way, and those that open the bar, so that what is typed right behind them goes there.
FIRST: Final = frozenset({"tab", "shift+tab", "slash", "colon", "ctrl+f"})


def bindings_of(page: str) -> list[BindingType]:
    """The bindings of a page's own keys."""
    return [
        Binding(key.keys, key.action, key.words, show=False, id=key.id, priority=key.keys in FIRST)
        for key in PAGE_KEYS[page]
    ]


#: Keys of single panes, for the table; the bindings are the panes' own.
PANE_KEYS: Final = (
    ("j k arrows pgup pgdn g G", "move; G and end also follow"),
    ("enter", "go to the pane below; on a finding: go to its frame"),
    ("left right (overview)", "pan; + - zoom, 0 shows all"),
    ("left right (inspector)", "tabs; < > windows of a long text, in hex byte by byte"),
    ("enter z (inspector, JSON)", "fold or unfold; z all of it"),
    ("w p * (inspector, JSON)", "copy the value, copy its path, filter by this value"),
    (", . (playback)", "step frame by frame; < > one second, + - speed, l loop, space play"),
    ("ctrl+s (filter line)", "save the filter; up and down go through saved and earlier ones"),
    ("mouse", "selects rows, tabs, times and keys; the wheel scrolls"),
)


class FooterKey(NamedTuple):
    """A key in the bottom line."""

    id: str
    label: str


#: Keys of single panes that the footer shows; the bindings are the panes' own, with the same ids.
PANE_BY_ID: Final = {
    key.id: key
    for key in (
        Key("plus,equals_sign", "+", "zoom(1)", "zoom in", "overview.zoom_in"),
        Key("minus", "-", "zoom(-1)", "zoom out", "overview.zoom_out"),
        Key("0", "0", "zoom(0)", "all", "overview.all"),
        Key("right,l", "→", "pan(1)", "pan right", "overview.right"),
        Key("enter", "enter", "go", "go there", "overview.go"),
        Key("enter", "enter", "fold", "fold or unfold (JSON)", "inspector.fold"),
        Key("w", "w", "copy_value", "copy the value under the cursor (JSON)", "inspector.value"),
        Key("p", "p", "copy_path", "copy its JSON path", "inspector.path"),
        Key("asterisk", "*", "filter_value", "filter by this value (JSON)", "inspector.filter"),
        Key("greater_than_sign,full_stop", ">", "window(1)", "next byte (hex)", "inspector.window_on"),
        Key("space", "space", "screen.play", "play, pause", "playback.play"),
        Key("comma", ",", "screen.step_frame(-1)", "frame back", "playback.frame_back"),
        Key("full_stop", ".", "screen.step_frame(1)", "frame forward", "playback.frame_on"),
        Key("plus,equals_sign,up", "+", "screen.play_speed(1)", "faster", "playback.faster"),
        Key("minus,down", "-", "screen.play_speed(-1)", "slower", "playback.slower"),
        Key("l", "l", "screen.play_loop", "loop", "playback.loop"),
        Key("enter", "enter", "submit", "do what is typed", "bar.apply"),
        Key("tab", "tab", "complete", "complete", "bar.complete"),
        Key("up", "up", "history(-1)", "older", "bar.older"),
        Key("ctrl+s", "ctrl+s", "save", "save the filter", "bar.save"),
        Key("escape", "esc", "leave", "leave", "bar.leave"),
    )
}
#: Of the main page, by the pane with the focus: its keys come first.
PANE_FOOTER: Final[dict[str, tuple[FooterKey, ...]]] = {
    "connections": (
        FooterKey("help", "help"),
        FooterKey("page.handshake", "handshake"),
        FooterKey("page.timeline", "timeline"),
        FooterKey("copy", "copy URL"),
        FooterKey("copy.curl", "as curl"),
        FooterKey("copy.as", "as client"),
        FooterKey("connection.doctor", "doctor"),
        FooterKey("page.sandwich", "sandwich"),
        FooterKey("connection.end", "end"),
        FooterKey("page.statistics", "statistics"),
        FooterKey("filter.edit", "filter"),
        FooterKey("page.findings", "findings"),
        FooterKey("quit", "quit"),
        FooterKey("inject", "inject"),
        FooterKey("export", "export"),
    ),
    "overview": (
        FooterKey("help", "help"),
        FooterKey("overview.zoom_in", "zoom in"),
        FooterKey("overview.zoom_out", "zoom out"),
        FooterKey("overview.all", "all"),
        FooterKey("overview.right", "pan"),
        FooterKey("overview.go", "go there"),
        FooterKey("page.timeline", "timeline"),
        FooterKey("page.statistics", "statistics"),
        FooterKey("gap.next", "gap"),
        FooterKey("playback", "playback"),
        FooterKey("go", "go"),
        FooterKey("filter.edit", "filter"),
        FooterKey("quit", "quit"),
    ),
    "inspector": (
        FooterKey("help", "help"),
        FooterKey("find.edit", "find"),
        FooterKey("payload.view", "view"),
        FooterKey("payload.form", "form"),
        FooterKey("payload.compare", "compare"),
        FooterKey("copy", "copy"),
        FooterKey("pager", "pager"),
        FooterKey("pane.maximise", "maximise"),
        FooterKey("mate", "mate"),
        FooterKey("inspector.window_on", "next byte"),
        FooterKey("inspector.fold", "fold"),
        FooterKey("inspector.value", "value"),
        FooterKey("inspector.path", "path"),
        FooterKey("inspector.filter", "filter by it"),
        FooterKey("quit", "quit"),
    ),
    # Other keys are characters while something is typed.
    "bar-input": (
        FooterKey("bar.apply", "apply"),
        FooterKey("bar.leave", "cancel"),
        FooterKey("bar.complete", "complete"),
        FooterKey("bar.older", "earlier"),
        FooterKey("bar.save", "save"),
    ),
    "playback": (
        FooterKey("help", "help"),
        FooterKey("playback.play", "play"),
        FooterKey("playback.frame_back", "back"),
        FooterKey("playback.frame_on", "forward"),
        FooterKey("playback.faster", "faster"),
        FooterKey("playback.slower", "slower"),
        FooterKey("playback", "leave"),
        FooterKey("mark.set", "mark"),
        FooterKey("playback.loop", "loop"),
        FooterKey("gap.next", "gap"),
        FooterKey("quit", "quit"),
    ),
}
FOOTER: Final[dict[str, tuple[FooterKey, ...]]] = {
    "main": (
        FooterKey("help", "help"),
        FooterKey("filter.edit", "filter"),
        FooterKey("go", "go"),
        FooterKey("frames.pause", "pause"),
        FooterKey("page.handshake", "handshake"),
        FooterKey("page.timeline", "timeline"),
        FooterKey("finding.next", "finding"),
        FooterKey("mate", "mate"),
        FooterKey("playback", "playback"),
        FooterKey("payload.view", "view"),
        FooterKey("copy", "copy"),
        FooterKey("page.faults", "faults"),
        FooterKey("page.findings", "findings"),
        FooterKey("quit", "quit"),
        FooterKey("export", "export"),
        FooterKey("inject", "inject"),
        FooterKey("connection.doctor", "doctor"),
    ),
    "handshake": (
        FooterKey("back", "back"),
        FooterKey("handshake.differences", "differences"),
        FooterKey("copy.curl", "copy as curl"),
        FooterKey("handshake.copy", "copy headers"),
        FooterKey("help", "help"),
        FooterKey("connection.doctor", "doctor"),
        FooterKey("quit", "quit"),
    ),
    "timeline": (
        FooterKey("back", "back"),
        FooterKey("timeline.unfold", "story"),
        FooterKey("connection.doctor", "doctor"),
        FooterKey("help", "help"),
        FooterKey("quit", "quit"),
    ),
    "findings": (
        FooterKey("back", "back"),
        FooterKey("findings.configuration", "read configuration"),
        FooterKey("findings.copy", "copy"),
        FooterKey("findings.unfold", "unfold"),
        FooterKey("connection.doctor", "doctor"),
        FooterKey("help", "help"),
        FooterKey("quit", "quit"),
    ),
    "faults": (
        FooterKey("back", "back"),
        FooterKey("faults.add", "add"),
        FooterKey("faults.edit", "change"),
        FooterKey("faults.arm", "arm"),
        FooterKey("faults.remove", "remove"),
        FooterKey("faults.reset", "remove all"),
        FooterKey("faults.copy", "copy"),
        FooterKey("help", "help"),
        FooterKey("quit", "quit"),
    ),
}
FOOTER["intercept"] = (
    FooterKey("back", "back"),
    FooterKey("intercept.pass", "pass"),
    FooterKey("intercept.edit", "edit"),
    FooterKey("intercept.drop", "drop"),
    FooterKey("intercept.answer", "answer"),
    FooterKey("intercept.all", "pass all"),
    FooterKey("intercept.add", "add"),
    FooterKey("intercept.editor", "editor"),
    FooterKey("help", "help"),
    FooterKey("quit", "quit"),
)
FOOTER["statistics"] = (
    FooterKey("back", "back"),
    FooterKey("statistics.span", "span"),
    FooterKey("statistics.copy", "copy"),
    FooterKey("clock.next", "clock"),
    FooterKey("help", "help"),
    FooterKey("quit", "quit"),
)
FOOTER["sandwich"] = (
    FooterKey("back", "back"),
    FooterKey("sandwich.partner", "partner"),
    FooterKey("sandwich.differences", "differences"),
    FooterKey("page.handshake", "handshake"),
    FooterKey("help", "help"),
    FooterKey("quit", "quit"),
)
#: Keys that have nothing to act on where no connection is shown or chosen.
ABOUT_URL: Final = frozenset({"copy", "copy.curl", "copy.as"})
ABOUT_ONE: Final = ABOUT_URL | {"connection.doctor"}
ALL_KEYS: Final = (*APP_KEYS, *(key for keys in PAGE_KEYS.values() for key in keys))
BY_ID: Final = {key.id: key for key in ALL_KEYS}
PAGE_OF: Final = {key.id: page for page, keys in PAGE_KEYS.items() for key in keys}
#: Names in key maps of earlier versions, by prefix.
_RENAMED: Final = {"scrubber": "playback", "frames.freeze": "frames.pause"}


def keymap_path() -> Path:
    """Where a user's key map is."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "wsinspect" / "keys.toml"


def read_keymap(path: Path, known: frozenset[str]) -> dict[str, str]:
    """A user's key map; empty without one.

    Args:
        path: a TOML file.
        known: the ids of all bindings.

    Raises:
        UsageError: it is not TOML, or names an id that there is not.
    """
    try:
        with path.open("rb") as file:
            loaded = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{error}, in the key map {path}") from None
    table = loaded.get("keys", {})
    if not isinstance(table, dict):
        raise UsageError(f"[keys] must be a table of ids and keys, in {path}")
    found = {}
    for name, keys in table.items():
        now = next((name.replace(old, new, 1) for old, new in _RENAMED.items() if name.startswith(old)), name)
        if now not in known or not isinstance(keys, str):
            raise UsageError(
                f"unknown key binding {name!r}, in {path}",
                hint="python -m wsinspect.tui.keys lists them",
            )
        found[now] = keys
    return found


def markdown() -> str:
    """The table of keys."""
    lines = ["| key | what it does | id |", "| --- | --- | --- |"]
    for keys, words in PANE_KEYS:
        lines.append(f"| {keys} | {words} | |")
    for key in ALL_KEYS:
        shown = key.shown.replace("|", "\\|")
        lines.append(f"| `{shown}` | {key.words} | {key.id} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
