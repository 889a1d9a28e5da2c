"""Help, quitting, starting again, and what is not there yet."""

from __future__ import annotations

from textual import work

from wsinspect.errors import WsinspectError
from wsinspect.tui.dialogs.help import HelpScreen
from wsinspect.tui.keys import APP_KEYS, BY_ID, FooterKey
from wsinspect.tui.model import DISCONNECTED
from wsinspect.tui.shell import MAIN, Shell
from wsinspect.tui.widgets.base import LinePane

_WHY_NOT = {key.keys: key.why_not for key in APP_KEYS if key.why_not}


class General(Shell):
    """Actions of the whole program."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The bar's keys are characters while it is open, and help is in the way of it."""
        if action in ("filter", "go"):
            return not self.bar_is_open and len(self.screen_stack) == 1
        return True

    def action_help(self) -> None:
        """Help of the focused pane."""
        focused = self.focused
        self.push_screen(HelpScreen(focused if isinstance(focused, LinePane) else None))

    def action_unavailable(self, key: str) -> None:
        """Say why a key does nothing."""
        self.say(f"{key}: {_WHY_NOT[key]}")

    def press(self, key: FooterKey) -> None:
        """A click on a key of the footer."""
        self.call_later(self.run_action, BY_ID[key.id].action)

    def action_next_view(self) -> None:
        """Another view of the payload."""
        self.show_chosen()
        self.inspector.next_view()

    def action_next_form(self) -> None:
        """Another form of the bytes."""
        self.show_chosen()
        self.inspector.next_form()

    def action_only_differences(self) -> None:
        """Leave out lines that are the same."""
        pane = self.handshake
        pane.only_differences = not pane.only_differences
        pane.show(pane.connection)

    def action_restart(self) -> None:
        """Start a dead engine again."""
        if self.engine is None:
            self.say(
                "this capture's engine was not started from here: wsinspect run --append goes on with it"
            )
        elif self.model.state != DISCONNECTED:
            self.say("the engine is at work")
        else:
            self.say("starting the engine again")
            self._restart()

    @work(thread=True, exclusive=True)
    def _restart(self) -> None:
        engine = self.engine
        if engine is None:
            return
        try:
            engine.restart()
        except WsinspectError as error:
            self.call_from_thread(self.say, str(error))
            return
        self.call_from_thread(self._restarted)

    def _restarted(self) -> None:
        self.model.is_engine_gone = self.model.was_live = False
        self.say("the engine is at work again")

    def is_on_main(self) -> bool:
        """Whether the panes are shown."""
        return self.page == MAIN
