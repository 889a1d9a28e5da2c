"""The filter at work: a thread that asks the capture which frames match, and continues as frames come.

Contract: answers come in order, and say up to which frame they hold. Where the newest frames are on the
screen they are asked about first, as a preview that the full pass then replaces. Escape ends a pass; what
was found stays. Frames of which something becomes known later (`late`) are judged again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsinspect.capture.filtering import FrameScan, matching_connections
from wsinspect.capture.reader import Capture
from wsinspect.errors import WsinspectError
from wsinspect.tui.late import LateFacts

if TYPE_CHECKING:
    from wsinspect.filters import Filter

#: How many of the newest frames the preview judges.
PREVIEW_FRAMES: Final = 20_000


@dataclass(frozen=True)
class Found:
    """An answer.

    Attributes:
        serial: which scan it is of.
        ids: frames that pass, ascending, all after the ones before.
        scanned_to: every frame up to here has been judged.
        is_preview: of the newest frames, ahead of the full pass.
        connections: those that pass, where the filter can choose connections.
        judged_again: by id, whether it passes now.
        is_outdated: so much has become known that all frames are to be judged again.
        error: why there will be no more answers.
    """

    serial: int
    ids: list[int]
    scanned_to: int
    is_preview: bool = False
    connections: frozenset[int] | None = None
    judged_again: dict[int, bool] = field(default_factory=dict)
    is_outdated: bool = False
    error: str | None = None


class Scan(threading.Thread):
    """One filter over one capture, until `stop`.

    Args:
        path: the capture.
        flt: the filter.
        connection: its frames only; None asks about all.
        upto: the newest frame that the screens know.
        wants_preview: the newest frames are on the screen.
        deliver: called in this thread with each answer.
    """

    def __init__(
        self,
        serial: int,
        path: Path,
        flt: Filter,
        connection: int | None,
        upto: int,
        wants_preview: bool,
        deliver: Callable[[Found], None],
    ) -> None:
        super().__init__(name="filter-scan", daemon=True)
        self.serial = serial
        self._path, self._filter, self._connection = path, flt, connection
        self._upto = upto
        self._wants_preview = wants_preview and upto > PREVIEW_FRAMES
        self._deliver = deliver
        self._is_stopped = False
        self._has_news = False
        self._changed = threading.Condition()

    def more(self, upto: int) -> None:
        """Frames have come, or facts about them: ask about them, too."""
        with self._changed:
            self._upto = max(self._upto, upto)
            self._has_news = True
            self._changed.notify()

    def stop(self) -> None:
        """No more answers are wanted."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def is_stopped(self) -> bool:
        """Whether nobody wants answers any more."""
        return self._is_stopped

    def run(self) -> None:
        try:
            with Capture.open(self._path) as capture:
                self._answer(capture)
        except WsinspectError as error:
            self._say(Found(self.serial, [], 0, error=str(error)))

    def _say(self, found: Found) -> None:
        if not self._is_stopped:
            self._deliver(found)

    def _answer(self, capture: Capture) -> None:
        late = LateFacts(capture, self._filter)
        scan = FrameScan(capture, self._filter, connection_id=self._connection)
        if self._wants_preview:
            self._preview(scan)
        after = 0
        while not self.is_stopped():
            with self._changed:
                upto, self._has_news = self._upto, False
            chosen = self._connections(capture)
            for batch in scan.batches(after=after, upto=upto):
                self._say(Found(self.serial, batch.ids, batch.scanned_to, connections=chosen))
                chosen = None
                if self.is_stopped():
                    return
            after = upto
            self._say(Found(self.serial, [], after, connections=chosen))
            self._judge_again(scan, late.frames(after))
            with self._changed:
                while not self._has_news and not self._is_stopped:
                    self._changed.wait()

    def _judge_again(self, scan: FrameScan, frames: list[int] | None) -> None:
        if frames is None:
            self._say(Found(self.serial, [], 0, is_outdated=True))
        elif frames:
            again = {frame: scan.matches(frame) for frame in frames if not self.is_stopped()}
            self._say(Found(self.serial, [], 0, judged_again=again))

    def _preview(self, scan: FrameScan) -> None:
        upto = self._upto
        ids: list[int] = []
        for batch in scan.batches(after=upto - PREVIEW_FRAMES, upto=upto):
            ids += batch.ids
        self._say(Found(self.serial, ids, upto, is_preview=True))

    def _connections(self, capture: Capture) -> frozenset[int] | None:
        if self._filter.is_empty or not self._filter.lists_connections:
            return None
        return frozenset(one.id for one in matching_connections(capture, self._filter))
