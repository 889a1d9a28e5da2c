"""Chromium's account of its WebSockets (DevTools protocol) beside the capture's.

DevTools show messages where the capture has frames: Chromium cuts what it sends, puts together what it
receives, and inflates. Control frames are not shown, nor what is received after a CLOSE frame or a violation.
So each message of the capture up to there has to be the next of DevTools, with its opcode, masking and
payload; and of a correct connection each frame has to be a part of one of these messages or a control frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.app_capture import Recording, Side, asked, node
from tests.support.apps import NodeApp, Outcome
from tests.support.threaded_loop import ThreadedLoop


class DevTools:
    """One Chromium; pages have names."""

    def __init__(self, loop: ThreadedLoop, app: NodeApp) -> None:
        self.loop, self.app = loop, app

    def open(self, page: str, url: str, *, proxy: int | None = None) -> None:
        """Open a page in a profile of its own; `proxy` is the port of the regular proxy that it uses."""
        asked(self.loop, self.app, do="open", page=page, url=url, proxy=proxy)

    def evaluate(self, page: str, code: str) -> Any:
        return asked(self.loop, self.app, do="evaluate", page=page, code=code).get("value")

    def run(self, page: str, code: str) -> Any:
        """The same in the console's way: a page's Content-Security-Policy does not matter."""
        return asked(self.loop, self.app, do="run", page=page, code=code).get("value")

    def look(self, page: str, path: str, *, width: int, height: int, scheme: str = "light") -> None:
        """A picture of the whole page."""
        size = {"width": width, "height": height}
        asked(self.loop, self.app, do="look", page=page, path=path, scheme=scheme, **size)

    def press(self, page: str, selector: str, key: str) -> None:
        asked(self.loop, self.app, do="press", page=page, selector=selector, key=key)

    def frame(self, page: str, number: int, code: str) -> Any:
        """An expression's value in a frame of the page; 0 is the page itself."""
        return asked(self.loop, self.app, do="frame", page=page, number=number, code=code).get("value")

    def console(self, page: str) -> list[str]:
        return list(asked(self.loop, self.app, do="console", page=page)["value"])

    def grant(self, page: str, permission: str) -> None:
        """Grant a permission to what this page's profile opens."""
        asked(self.loop, self.app, do="grant", page=page, permission=permission)

    def until(self, page: str, code: str) -> Any:
        """The value of an expression once it is true."""
        return asked(self.loop, self.app, do="until", page=page, code=code).get("value")

    def sockets(self, page: str, *, closed: bool = False) -> list[dict[str, Any]]:
        """The WebSockets of a page, in the order in which they were created; `closed` waits until all are."""
        outcome = asked(self.loop, self.app, do="sockets", page=page, closed=closed)
        assert outcome["errors"] == [], outcome["errors"]
        return list(outcome["sockets"])

    def close(self, page: str) -> None:
        asked(self.loop, self.app, do="close", page=page)


@contextmanager
def devtools(loop: ThreadedLoop, *arguments: str) -> Iterator[DevTools]:
    """A Chromium; with arguments of its own it checks certificates and Local Network Access, as users' do."""
    with node(loop, "devtools.mjs", *arguments) as (app, _):
        yield DevTools(loop, app)


def differences(socket: Outcome, kept: Recording) -> list[str]:
    """What DevTools and the capture say differently of one connection; empty when they agree."""
    found = []
    for side, word, masked in ((kept.c2s, "sent", True), (kept.s2c, "received", False)):
        shown = [event[1:] for event in socket["events"] if event[0] == word]
        messages = list(zip(side.kinds, side.messages, strict=True))
        messages = messages if side is kept.c2s else messages[: side.heard]
        found += _compared(word, shown, [[kind[0], kind[1], message] for kind, message in messages])
        if any(kind[1] is not masked for kind, _ in messages):
            found.append(f"{word}: masking")
        if not kept.faults and side.frames != sum(kind[2] for kind in side.kinds) + controls(side):
            found.append(f"{word}: {side.frames} frames are more than those of messages and control frames")
    return found


def controls(side: Side) -> int:
    """How many control frames came in a direction; DevTools do not show them."""
    return len(side.pings) + len(side.pongs) + side.closes


def _compared(word: str, shown: list[list[Any]], recorded: list[list[Any]]) -> list[str]:
    if shown == recorded:
        return []
    for number, (one, other) in enumerate(zip(shown, recorded, strict=False)):
        if one != other:
            return [f"{word} {number}: DevTools {str(one)[:100]}, capture {str(other)[:100]}"]
    return [f"{word}: DevTools has {len(shown)}, the capture {len(recorded)}"]


def of(socket: Outcome, word: str) -> list[Any]:
    """The events of a kind, without the word."""
    return [event[1:] for event in socket["events"] if event[0] == word]
