"""Escape: one thing back."""

from __future__ import annotations

from wsinspect.tui.actions.filtering import Filtering
from wsinspect.tui.actions.moves import Moves
from wsinspect.tui.actions.playing import Playing
from wsinspect.tui.shell import MAIN


class Back(Moves, Playing, Filtering):
    """What one can go back from."""

    def action_step_back(self) -> None:
        """One thing back: a page, the playback, a scan, the filter, following."""
        if self.page != MAIN:
            self.action_focus_pane(self.pane_number)
        elif self.playback is not None:
            self.leave_playback()
        elif self.is_maximised:
            self.action_maximise()
        elif self.scan_share is not None:
            self.keep_partial_result()
        elif self.filter is not None:
            self.clear_filter()
        elif self.is_frozen:
            self.action_freeze()
