"""Every key of the screens: what it does, its id in a user's key map, and what the footer and the docs say.

`python -m wsinspect.tui.keys` prints the table of the README. A key map is a TOML file, by default
`~/.config/wsinspect/keys.toml`, with a table `[keys]` of ids and keys: `"frames.follow" = "end,f8"`.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.errors import UsageError


class Key(NamedTuple):
    """One binding.

    Attributes:
        keys: Textual's names, by comma.
        shown: how people write it.
        words: what it does.
        id: its name in a key map.
        why_not: set where it does nothing in this version: why.
    """

    keys: str
    shown: str
    action: str
    words: str
    id: str
    why_not: str = ""


#: Features of later versions: their keys are kept free, shown, and say this.
_LATER: Final = "is not in this version"

APP_KEYS: Final = (
    Key("1", "1", "focus_pane(1)", "connections", "pane.connections"),
    Key("2", "2", "focus_pane(2)", "overview", "pane.overview"),
    Key("3", "3", "focus_pane(3)", "frames", "pane.frames"),
    Key("4", "4", "focus_pane(4)", "inspector", "pane.inspector"),
    Key("tab", "tab", "next_pane(1)", "next pane", "pane.next"),
    Key("shift+tab", "shift+tab", "next_pane(-1)", "pane before", "pane.before"),
    Key("ctrl+o", "ctrl+o", "jump", "jump mode: a letter for each pane and row", "jump"),
    Key("backslash", "\\", "maximise", "maximise the pane, and back", "pane.maximise"),
    Key("plus,equals_sign", "+", "resize(1)", "larger inspector (in the overview: zoom in)", "pane.larger"),
    Key("minus", "-", "resize(-1)", "smaller inspector (in the overview: zoom out)", "pane.smaller"),
    Key("T", "T", "follow", "follow the newest frame (as End does)", "frames.follow"),
    Key("space", "space", "freeze", "freeze the view; capture and counters go on", "frames.freeze"),
    Key("slash", "/", "filter", "filter", "filter.edit"),
    Key("colon", ":", "go", "go to: :98197 (frame), :conn 2, :t 14.3", "go"),
    Key("escape", "esc", "step_back", "back; clear the filter; stop a scan", "back"),
    Key("a", "a", "all_connections", "frames of all connections", "connections.all"),
    Key("n", "n", "next_finding(1)", "next finding or violation", "finding.next"),
    Key("N", "N", "next_finding(-1)", "finding before", "finding.before"),
    Key("right_curly_bracket", "}", "next_gap(1)", "next gap", "gap.next"),
    Key("left_curly_bracket", "{", "next_gap(-1)", "gap before", "gap.before"),
    Key(
        "right_square_bracket,left_square_bracket",
        "[ ]",
        "mate",
        "mate: ping and pong, fragments, CLOSE and CLOSE",
        "mate",
    ),
    Key("m", "m", "mark", "mark this frame (playing: an end of the selection)", "mark.set"),
    Key("apostrophe", "'", "next_mark", "jump to the next mark", "mark.next"),
    Key("h", "h", "page('handshake')", "handshake: what each side saw", "page.handshake"),
    Key("t", "t", "page('timeline')", "timeline: connections on one time axis", "page.timeline"),
    Key("i", "i", "page('findings')", "findings", "page.findings"),
    Key("f", "f", "page('faults')", "faults", "page.faults"),
    Key("s", "s", "scrubber", "scrubber: play the capture", "scrubber"),
    Key("v", "v", "next_view", "payload as text, JSON, hex, decoders", "payload.view"),
    Key("u", "u", "next_form", "payload inflated, unmasked, as on the wire", "payload.form"),
    Key("d", "d", "only_differences", "handshake: only differences", "handshake.differences"),
    Key("y", "y", "copy", "copy the payload, the frame, or the handshake", "copy"),
    Key("Y", "Y", "copy_curl", "copy the opening handshake as curl", "copy.curl"),
    Key("o", "o", "pager", "open what is shown in $PAGER", "pager"),
    Key("R", "R", "restart", "start a dead engine again", "engine.restart"),
    Key("question_mark,f1", "?", "help", "help of the focused pane", "help"),
    Key("ctrl+p", "ctrl+p", "command_palette", "command palette", "palette"),
    Key("q,ctrl+q,ctrl+c", "q", "leave", "quit; an engine that was started here ends with it", "quit"),
    Key("e", "e", "export", "export: the capture or a part of it as HAR or JSONL", "export"),
    Key("x", "x", "inject", "inject a frame into the selected connection", "inject"),
    Key("X", "X", "end_connection", "end the selected connection: CLOSE, FIN or RST", "connection.end"),
    Key("F", "F", "reset_faults", "remove all faults at once", "faults.reset"),
    Key("P", "P", "unavailable('P')", "probe the target", "probe", f"probing a server {_LATER}"),
)
#: Keys of the faults page.
FAULT_KEYS: Final = (
    Key("a", "a", "add_fault", "arm a rule (faults)", "faults.add"),
    Key("enter", "enter", "edit_fault", "change the rule (faults)", "faults.edit"),
    Key("space", "space", "arm_fault", "arm or disarm the rule (faults)", "faults.arm"),
    Key("x,delete", "x", "remove_fault", "remove the rule (faults)", "faults.remove"),
    Key("y", "y", "copy_fault", "copy the rule as --fault (faults)", "faults.copy"),
)
#: Keys that the app takes before the focused pane does: tab, which would change the focus in Textual's own
#: way, and those that open the bar, so that what is typed right behind them goes there.
FIRST: Final = frozenset({"tab", "shift+tab", "slash", "colon"})
#: Keys of single panes, for the table; the bindings are the panes' own.
PANE_KEYS: Final = (
    ("j k arrows pgup pgdn g G", "move; G and end also follow"),
    ("enter", "into the pane below; on a finding: go to its frame"),
    ("left right (overview)", "pan; + - zoom, 0 shows all"),
    ("left right (inspector)", "tabs; < > windows of a long text"),
    (", . (scrubber)", "step frame by frame; < > one second, + - speed, l loop, space play"),
    ("mouse", "choose rows, tabs, times and keys; the wheel scrolls"),
)


class FooterKey(NamedTuple):
    """A key in the bottom line."""

    id: str
    label: str


FOOTER: Final[dict[str, tuple[FooterKey, ...]]] = {
    "main": (
        FooterKey("help", "help"),
        FooterKey("filter.edit", "filter"),
        FooterKey("go", "go"),
        FooterKey("frames.freeze", "freeze"),
        FooterKey("page.handshake", "handshake"),
        FooterKey("page.timeline", "timeline"),
        FooterKey("finding.next", "finding"),
        FooterKey("mate", "mate"),
        FooterKey("scrubber", "play"),
        FooterKey("payload.view", "view"),
        FooterKey("copy", "copy"),
        FooterKey("page.faults", "faults"),
        FooterKey("page.findings", "findings"),
        FooterKey("quit", "quit"),
        FooterKey("export", "export"),
        FooterKey("inject", "inject"),
    ),
    "handshake": (
        FooterKey("back", "back"),
        FooterKey("handshake.differences", "only differences"),
        FooterKey("copy.curl", "copy as curl"),
        FooterKey("copy", "copy heads"),
        FooterKey("help", "help"),
        FooterKey("quit", "quit"),
        FooterKey("probe", "probe"),
    ),
    "timeline": (FooterKey("back", "back"), FooterKey("help", "help"), FooterKey("quit", "quit")),
    "findings": (
        FooterKey("back", "back"),
        FooterKey("copy", "copy id"),
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
BY_ID: Final = {key.id: key for key in (*APP_KEYS, *FAULT_KEYS)}


def keymap_path() -> Path:
    """Where a user's key map lies."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "wsinspect" / "keys.toml"


def read_keymap(path: Path, known: frozenset[str]) -> dict[str, str]:
    """A user's key map; empty where there is none.

    Args:
        path: a TOML file.
        known: the ids of all bindings.

    Raises:
        UsageError: it is no TOML, or names an id that there is not.
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
    for name, keys in table.items():
        if name not in known or not isinstance(keys, str):
            raise UsageError(
                f"there is no binding {name!r}, in {path}",
                hint="python -m wsinspect.tui.keys lists them",
            )
    return table


def markdown() -> str:
    """The table of keys."""
    lines = ["| key | what it does | id |", "| --- | --- | --- |"]
    for keys, words in PANE_KEYS:
        lines.append(f"| {keys} | {words} | |")
    for key in (*APP_KEYS, *FAULT_KEYS):
        shown = key.shown.replace("|", "\\|")
        words = f"{key.words} ({key.why_not})" if key.why_not else key.words
        lines.append(f"| `{shown}` | {words} | {key.id} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
