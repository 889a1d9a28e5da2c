"""How fast the terminal draws: paints are given as it asks for them, so that a key is answered at once.

Behind a slow line, what was painted waits in buffers that no program sees. Each paint is therefore followed
by the question where the cursor is, which every terminal answers behind what it has drawn. While too much is
unanswered nothing is painted: what changes meanwhile is shown by one paint, later. A terminal that answers
nothing is given everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from typing import Any, Final

from textual.app import App
from textual.screen import Screen

#: DSR 6; the answer is CPR, `ESC [ row ; column R`.
QUESTION: Final = "\x1b[6n"
#: A terminal that takes longer to draw is given one paint at a time, else so many: on a busy machine its
#: answers are late, too.
_SLOW_SECONDS: Final = 0.25
_AHEAD: Final = 4
#: So many bytes behind a slow line are no reason to wait.
_LITTLE: Final = 300
#: What a terminal has to draw at once to be no longer slow: a few bytes pass quickly everywhere.
_LARGE: Final = 1_000
#: What arrives is painted so many times as rarely as the terminal takes for a paint.
_SHARE: Final = 2.5
_FADING: Final = 0.8
#: The first answer comes as soon as the few bytes of the start have passed; later ones behind a whole screen.
_FIRST_SECONDS: Final = 0.5
_MOST_SECONDS: Final = 30.0
#: Answers that are still under way when the program ends would be typed into the shell.
_LAST_SECONDS: Final = 8.0


class Pacing:
    """Which paints the terminal has drawn, and whether it gets more.

    Contract: `asked`, `may_grow` and `release` are of the event loop, `answered` of any thread; what has not
    been answered after a while is waited for no longer.

    Args:
        app: what paints.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: deque[tuple[float, int]] = deque()
        self._late = 0
        self._timer: asyncio.TimerHandle | None = None
        self._lock = threading.Condition()
        self._has_answered = False
        self._is_slow = True  # until something large was drawn at once
        self._took_s = 0.0
        self._grows_at = 0.0
        self._hold = contextlib.ExitStack()
        self._held: tuple[Screen[Any] | None, object] | None = None

    @property
    def is_holding(self) -> bool:
        """Whether nothing is painted now."""
        return self._held is not None

    @property
    def is_slow(self) -> bool:
        """Whether a terminal was asked, and is not known to draw a whole paint at once."""
        return self._is_slow and self._loop is not None

    @property
    def is_silent(self) -> bool:
        """Whether the terminal was asked and has never answered: it is not asked again."""
        return bool(self._late) and not self._has_answered

    def may_grow(self) -> bool:
        """Whether what arrives may be painted now: behind a slow line most of the time is for keys."""
        now = time.monotonic()
        if now < self._grows_at:
            return False
        self._grows_at = now + _SHARE * self._took_s if self.is_slow else 0.0
        return True

    # -- the event loop's

    def asked(self, length: int) -> None:
        """A paint of so many bytes and the question behind it were given to the terminal."""
        self._loop = asyncio.get_running_loop()
        if self.is_silent:
            return
        with self._lock:
            self._asked.append((time.monotonic(), length))
        if self._is_behind() and self._held is None:
            self._held = self._shown()
            self._hold.enter_context(self._app.batch_update())
            self._wait()

    def release(self) -> None:
        """Paint what has changed meanwhile."""
        if self._held is None:
            return
        before, self._held = self._held, None
        self._hold.close()
        screen, size = self._shown()
        if screen is not None:
            if before != (screen, size):
                screen.refresh()  # Textual forgets what it laid out meanwhile
            screen.check_idle()

    def _shown(self) -> tuple[Screen[Any] | None, object]:
        """What is shown, and how large: nothing yet before the start, and nothing any more at the end."""
        stack = self._app.screen_stack
        return (stack[-1] if stack else None), self._app.size

    def _is_behind(self) -> bool:
        with self._lock:
            if self._is_slow:
                return sum(length for _, length in self._asked) > _LITTLE
            return len(self._asked) >= _AHEAD

    def _caught_up(self) -> None:
        if not self._is_behind():
            self.release()

    def _wait(self) -> None:
        """Look again when the oldest answer is due at last."""
        if self._timer is None and self._loop is not None:
            patience = _MOST_SECONDS if self._has_answered else _FIRST_SECONDS
            with self._lock:
                begin = self._asked[0][0] if self._asked else time.monotonic()
            self._timer = self._loop.call_later(begin + patience - time.monotonic(), self._look, patience)

    def _look(self, patience: float) -> None:
        """Where nothing was answered for too long, the terminal says nothing."""
        self._timer = None
        if not self.is_holding:
            return
        with self._lock:
            is_over = not self._asked or time.monotonic() - self._asked[0][0] >= patience
            is_over = is_over and patience == (_MOST_SECONDS if self._has_answered else _FIRST_SECONDS)
            if is_over:
                self._late += len(self._asked)
                self._asked.clear()
                self._is_slow = self._is_slow and self._has_answered
        if is_over:
            self.release()
        else:
            self._wait()

    # -- any thread's

    def answered(self) -> bool:
        """The terminal has answered; returns whether it was asked."""
        now = time.monotonic()
        with self._lock:
            self._has_answered = self._has_answered or bool(self._asked or self._late)
            self._lock.notify_all()
            if self._late:
                self._late -= 1
                return True
            if not self._asked:
                return False
            began, length = self._asked.popleft()
            took_s = now - began
            if took_s > _SLOW_SECONDS:
                self._is_slow = True
            elif length > _LARGE:
                self._is_slow = False
            self._took_s = max(took_s, _FADING * self._took_s)  # most paints are a few bytes
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the program has ended meanwhile
                self._loop.call_soon_threadsafe(self._caught_up)
        return True

    def finish(self, descriptor: int) -> None:
        """Wait for the last answers, if the terminal gives any and is still there."""
        deadline = time.monotonic() + _LAST_SECONDS
        with self._lock:
            while self._asked or self._late:
                if not self._has_answered or time.monotonic() > deadline or not os.isatty(descriptor):
                    break
                self._lock.wait(0.05)
            self._asked.clear()
            self._late = 0
        self.release()
