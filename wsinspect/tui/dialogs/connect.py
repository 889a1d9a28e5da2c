"""Connect: where to, for a client that is typed into."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult

from wsinspect.errors import UsageError
from wsinspect.text import escape
from wsinspect.tui.dialogs.sheet import CANCEL, SELECT, Dialog, DialogInput, TextField
from wsinspect.tui.workspace import Workspace


class ConnectDialog(Dialog):
    """Asks for a URL, and optionally subprotocols.

    Args:
        url: what is suggested.
        where: a sentence about what records it.
        connect: takes the arguments of `wsinspect connect`.
    """

    heading = "Connect: a client to type into"
    keys = (SELECT, ("enter", "connect"), CANCEL)

    def __init__(
        self,
        workspace: Workspace,
        url: str,
        subprotocol: str,
        where: str,
        connect: Callable[[list[str]], None],
    ) -> None:
        super().__init__(workspace)
        self._url, self._subprotocol, self._where, self._connect = url, subprotocol, where, connect

    def content(self) -> ComposeResult:
        """The URL and the subprotocols."""
        yield TextField(self.workspace, "URL", DialogInput(self._url, id="connect-url"))
        yield TextField(
            self.workspace, "subprotocols", DialogInput(self._subprotocol, id="connect-protocols")
        )

    def on_mount(self) -> None:
        """Type the URL at once."""
        line = self.input("connect-url")
        line.cursor_position = len(line.value)
        self.set_focus(line)
        self.judge()

    def judge(self) -> None:
        """Say whether that is a URL, and where it will be recorded."""
        if not self.input("connect-url").value.strip():
            # An empty line is not a mistake: show an example.
            self.verdict(" ", f"a URL, such as localhost:3000/chat; {self._where}", "muted")
            return
        try:
            self._arguments()
        except UsageError as error:
            self.wrong(escape(error.message))
            return
        self.verdict(self.workspace.glyphs.good, f"enter connects, in this terminal; {self._where}", "good")

    def _arguments(self) -> list[str]:
        from wsinspect.peers.client import parse_subprotocols, parse_url  # not before the first paint

        url = self.input("connect-url").value.strip()
        parse_url(url)
        names = self.input("connect-protocols").value.strip()
        if not names:
            return ["--", url]
        return [*(f"--subprotocol={name}" for name in parse_subprotocols([names])), "--", url]

    def submit(self) -> None:
        """Leave the dialog, and connect."""
        try:
            arguments = self._arguments()
        except UsageError as error:
            self.wrong(escape(error.message))
            return
        self.dismiss(None)
        self._connect(arguments)
