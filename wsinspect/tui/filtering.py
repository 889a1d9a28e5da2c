"""The filter of the frame table: asked about all frames by a thread, its answers shown as they come.

Contract: the last result stays on the screen until there is a new one; frames of which something became known
later are judged again; a view that stands still changes when it continues.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from wsinspect.filters import Filter
from wsinspect.text import escape
from wsinspect.tui.scan import Found, Scan
from wsinspect.tui.views import View
from wsinspect.tui.widgets.connections import ConnectionsPane
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.workspace import Workspace

#: How long late facts are collected before all frames are judged again.
_AGAIN_SECONDS = 1.0
#: Changes of the filter that can be undone.
_UNDONE = 50


class Filtering:
    """See the module docstring.

    Args:
        frames: the table.
        connections: listed are those that pass, where the filter says so.
        replace_view: shows other rows; the chosen frame stays chosen where it is among them.
    """

    def __init__(
        self,
        workspace: Workspace,
        frames: FrameTable,
        connections: ConnectionsPane,
        replace_view: Callable[[View], None],
    ) -> None:
        self._workspace, self._selection = workspace, workspace.selection
        self._frames, self._connections, self._replace_view = frames, connections, replace_view
        self._scan: Scan | None = None
        self._serial = 0
        #: Positions that were judged again and are still to be shown.
        self._verdicts: dict[int, bool] | None = None
        self._is_outdated = False
        self._return_to: tuple[int, int | None] | None = None
        self._outdated_since: float | None = None
        self._before: list[Filter | None] = []
        self._is_typing = False
        #: The frame that was chosen before a filter was typed, and the one that its beginnings have led to.
        self._anchor: tuple[int, int | None] | None = None

    # -- what is asked

    def apply(self, flt: Filter) -> None:
        """Show what passes; an empty filter shows all."""
        known = self._selection.filter
        if flt.is_empty:
            self.clear()
        elif known is None or str(flt) != str(known):
            self._keep(known)
            self._selection.filter = flt
            self.start()

    def _keep(self, known: Filter | None) -> None:
        """Remember a filter that was shown, for undo; not those that were there only while one was typed."""
        if not self._is_typing:
            self._before.append(known)
            del self._before[:-_UNDONE]

    def typing(self, is_on: bool) -> None:
        """Filters are typed from here on: undo takes all of that back at once; or are not any more."""
        if is_on and not self._is_typing:
            self._keep(self._selection.filter)
        here = self._frames.selected_position()
        self._anchor = None if not is_on or here is None or self._frames.is_following else (here, here)
        self._is_typing = is_on
        if not is_on and self._before and str(self._before[-1]) == str(self._selection.filter):
            self._before.pop()

    def undo(self) -> None:
        """Back to the filter before the last change."""
        if not self._before:
            self._workspace.say("no filter to go back to")
            return
        flt = self._before.pop()
        self._is_typing = True
        if flt is None:
            self.clear()
        else:
            self.apply(flt)
        self._is_typing = False
        self._workspace.say(f"filter: {escape(flt.source)}" if flt is not None else "no filter")

    def clear(self) -> None:
        if self._selection.filter is None:
            return
        self._keep(self._selection.filter)
        self._selection.filter = None
        self.stop()
        self._connections.shown = None
        self._connections.refresh_order()
        wanted = self._wanted()
        self._replace_view(self._selection.new_view(is_filtered=False))
        if wanted is not None and not self._frames.is_following:
            self._frames.go_to_position(wanted)
        self._led_to()

    def _wanted(self) -> int | None:
        """The frame to be chosen among other rows; while a filter is typed, the one from before it."""
        here = self._frames.selected_position()
        if self._anchor is not None and here == self._anchor[1]:
            return self._anchor[0]
        self._anchor = None  # somebody has moved the cursor meanwhile
        return here

    def _led_to(self) -> None:
        if self._anchor is not None:
            self._anchor = self._anchor[0], self._frames.selected_position()

    def start(self, *, is_again: bool = False) -> None:
        """Ask about all frames.

        Args:
            is_again: nobody typed anything: the result is shown when all of it is there.
        """
        self.stop()
        selection, model = self._selection, self._workspace.model
        selection.is_asked_again = is_again
        if selection.filter is None:
            return
        self._serial += 1
        self._verdicts, self._is_outdated = None, False
        self._outdated_since = None
        selection.pending = selection.new_view(is_filtered=True)
        self._scan = Scan(
            self._serial,
            model.path,
            selection.filter,
            selection.connection,
            model.index.last_id,
            self._frames.is_following and not is_again,
            lambda found: self._workspace.deliver(self.found, found),
        )
        selection.is_scanning = True
        self._scan.start()

    def stop(self) -> None:
        """No more answers are wanted."""
        if self._scan is not None:
            self._scan.stop()
            self._scan = None
        self._selection.is_scanning = False
        self._selection.pending = None

    def keep_partial_result(self) -> None:
        """Stop asking; what was found stays on the screen."""
        pending, share = self._selection.pending, self._selection.scan_share
        self.stop()
        if pending is not None and len(pending.rows):
            self._replace_view(pending)
        self._workspace.say(f"scan stopped at {share}%: the filter stays, esc again clears it")

    def frames_added(self) -> None:
        """Frames have come, or facts about them: the scan is to continue."""
        if self._scan is not None:
            self._scan.more(self._workspace.model.index.last_id)

    # -- what is answered

    def found(self, found: Found) -> None:
        """An answer of the scan."""
        if self._scan is None or found.serial != self._serial:
            return
        if found.error is not None:
            self._workspace.say(found.error)
            return
        if found.connections is not None:
            self._connections.shown = set(found.connections)
            self._connections.refresh_order()
        if found.is_preview:
            view = self._selection.new_view(is_filtered=True)
            view.add_matches(found.ids, 0)
            self._replace_view(view)
            return
        if found.is_outdated or found.judged_again:
            self._judged_again(found)
            return
        selection, frames = self._selection, self._frames
        pending, is_again = selection.pending, selection.is_asked_again
        view = pending if pending is not None else frames.view
        view.add_matches(found.ids, found.scanned_to)
        is_screenful = len(view.rows) >= frames.visible_rows and not frames.is_following
        if pending is None or not ((is_screenful and not is_again) or self._is_answered(pending)):
            frames.grown()
        elif not (is_again and frames.limit is not None):
            selection.pending = None
            before = self._wanted()
            self._replace_view(view)
            self._return_to = None if before is None else (before, frames.selected_position())
        self._return(view)
        self._led_to()

    def _return(self, view: View) -> None:
        """Back to the frame that was chosen, once the pass has reached it; not if the cursor was moved."""
        if self._return_to is None or self._selection.pending is not None:
            return
        wanted, meanwhile = self._return_to
        if self._frames.is_following or self._frames.selected_position() != meanwhile:
            self._return_to = None
        elif view.scanned_to >= self._workspace.model.index.columns.ids[wanted]:
            self._return_to = None
            self._frames.go_to_position(wanted)

    def _is_answered(self, view: View) -> bool:
        return view.scanned_to >= self._workspace.model.index.last_id

    def _judged_again(self, found: Found) -> None:
        """Something has become known of frames that were judged before."""
        position_of = self._workspace.model.index.position_of
        verdicts = self._verdicts or {}
        for frame_id, passes in found.judged_again.items():
            position = position_of(frame_id)
            if position is not None:
                verdicts[position] = passes
        self._verdicts = verdicts
        self._is_outdated = self._is_outdated or found.is_outdated

    def settle(self) -> None:
        """Show what was judged again; called twenty times a second."""
        selection, frames = self._selection, self._frames
        if self._scan is None or frames.limit is not None:
            return
        pending = selection.pending
        if pending is not None and selection.is_asked_again and self._is_answered(pending):
            selection.pending = None
            self._replace_view(pending)
        verdicts, self._verdicts = self._verdicts, None
        if verdicts and selection.pending is not None:
            self._is_outdated = not selection.pending.judge_again(verdicts) or self._is_outdated
        elif verdicts:
            with frames.rows_kept():
                self._is_outdated = not frames.view.judge_again(verdicts) or self._is_outdated
        if self._is_outdated and selection.pending is None:
            now = time.monotonic()
            if self._outdated_since is None:
                self._outdated_since = now
            elif now - self._outdated_since >= _AGAIN_SECONDS:
                self.start(is_again=True)
