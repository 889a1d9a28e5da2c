"""The signs of the screens, in Unicode and in ASCII.

Contract: every sign is one cell wide in every terminal (wide and emoji-like ones are not used), and position
and shape carry the meaning, so that nothing is lost without colour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True)
class Glyphs:
    """One set of signs.

    Attributes:
        data, control, close: what a lane is drawn with, by the kind of frame.
        to_server, to_client: arrow heads.
        short: a lane of one cell, by kind and direction (data, control, close; c2s then s2c).
        bars: activity, from nothing to most.
        is_plain: nothing is drawn: what lanes, bars and rules show is words, or left out.
    """

    data: str = "─"
    control: str = "╌"
    close: str = "═"
    left: str = "├"
    right: str = "┤"
    to_server: str = "▶"
    to_client: str = "◀"
    short: str = "→←⇢⇠⇒⇐"
    altered: str = "↯"
    stopped: str = "✕"
    injected: str = "+"
    marked: str = "!"
    cursor: str = "▸"
    first: str = "╭"
    middle: str = "│"
    last: str = "╰"
    mate: str = "↺"
    gap: str = "┊"
    unset: str = "·"
    bars: str = " ▁▂▃▄▅▆▇█"
    rule: str = "─"
    heavy: str = "━"
    column: str = "│"
    ellipsis: str = "…"
    arrow: str = "→"
    error: str = "✖"
    warning: str = "▲"
    note: str = "·"
    good: str = "✓"
    bad: str = "✗"
    play: str = "▶"
    pause: str = "‖"
    down: str = "↓"
    is_plain: bool = False


UNICODE: Final = Glyphs()
ASCII: Final = Glyphs(
    data="-",
    control=".",
    close="=",
    left="|",
    right="|",
    to_server=">",
    to_client="<",
    short="><)({}",
    altered="~",
    stopped="x",
    cursor=">",
    first="/",
    middle="|",
    last="\\",
    mate="@",
    gap=":",
    unset=".",
    bars=" .:-=+*%#",
    rule="-",
    heavy="=",
    column="|",
    ellipsis="~",
    arrow="->",
    error="X",
    warning="^",
    note=".",
    good="+",
    bad="x",
    play=">",
    pause="=",
    down="v",
)
#: For screen readers: lines of words.
PLAIN: Final = replace(
    ASCII,
    rule=" ",
    heavy=" ",
    column=" ",
    unset=" ",
    first="first",
    middle="middle",
    last="last",
    mate="answers",
    gap=" ",
    arrow="to",
    error="error:",
    warning="warning:",
    note="note:",
    altered="changed",
    stopped="stopped",
    injected="added",
    down="more to the",
    is_plain=True,
)
