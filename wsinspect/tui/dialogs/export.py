"""Export: what, in which format, where to; then how far it is."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult

from wsinspect.text import escape
from wsinspect.tui.dialogs.sheet import CANCEL, SELECT, Dialog, DialogInput, Pick, Question, Reply, TextField
from wsinspect.tui.exporting import FORMATS, Export, Order, default_target, target_problem
from wsinspect.tui.workspace import Workspace

_OVERWRITE = Reply(("o", "O"), "o", "overwrite it", "yes")


class ExportDialog(Dialog):
    """See the module docstring.

    Args:
        order: what is suggested.
        parts: what can be chosen, and its words.
    """

    heading = "Export"
    keys = (SELECT, ("enter", "write"), CANCEL)

    def __init__(self, workspace: Workspace, order: Order, parts: list[tuple[str, str]]) -> None:
        super().__init__(workspace)
        self._order = order
        self._parts = parts
        self._export: Export | None = None

    def content(self) -> ComposeResult:
        """The choices, and the name."""
        yield Pick(self.workspace, "format", FORMATS, id="export-kind")
        yield Pick(self.workspace, "what", self._parts, id="export-part")
        yield Pick(self.workspace, "secrets", [("mask", "masked"), ("keep", "left in")], id="export-secrets")
        yield TextField(self.workspace, "file", DialogInput(str(self._order.target), id="export-file"))

    def on_mount(self) -> None:
        self.pick("export-kind").value = self._order.kind
        self.pick("export-part").value = self._order.part
        line = self.input("export-file")
        line.cursor_position = len(line.value)
        self.set_focus(line)
        self.judge()

    def on_pick_changed(self, event: Pick.Changed) -> None:
        """Keep the file's ending in step with the format."""
        kind, line = self.pick("export-kind").value, self.input("export-file")
        stem, dot, ending = line.value.rpartition(".")
        if dot and ending != kind and ending in dict(FORMATS):
            line.value = f"{stem}.{kind}"

    def judge(self) -> None:
        """Say whether it can be written there."""
        if self._export is not None:
            return
        name, kind = self.input("export-file").value, self.pick("export-kind").value
        typed = name.rpartition(".")[2]
        if typed in dict(FORMATS) and typed != kind:
            self.pick("export-kind").value = kind = typed
            self.pick("export-kind").refresh()
        if problem := self._problem():
            self.wrong(escape(problem))
        elif self.pick("export-secrets").value == "keep":
            words = "cookies, credentials and tokens are included: think before you share it"
            self.verdict(self.workspace.glyphs.warning, words, "warn")
        else:
            words = "cookies, credentials and tokens in URLs are masked; payloads are not changed"
            self.verdict(self.workspace.glyphs.good, words, "good")

    def _problem(self) -> str:
        return target_problem(self.input("export-file").value, self._order.capture)

    def submit(self) -> None:
        """Write it; ask first where the file exists."""
        self.judge()
        if self._export is not None or self._problem():
            return
        target = Path(self.input("export-file").value).expanduser()
        if not target.exists():
            self._start(target)
            return

        def answered(reply: str | None) -> None:
            if reply == "yes":
                self._start(target)

        self.app.push_screen(
            Question(self.workspace, "Export", f"{escape(str(target))} exists.", [_OVERWRITE]), answered
        )

    def _start(self, target: Path) -> None:
        order = self._order._replace(
            target=target,
            kind=self.pick("export-kind").value,
            part=self.pick("export-part").value,
            include_secrets=self.pick("export-secrets").value == "keep",
        )
        self.verdict(self.workspace.glyphs.note, "exporting; esc stops it", "muted")
        self._export = Export(order, self.workspace.deliver, self._moved, self._done)
        self._export.start()

    def _moved(self, count: int) -> None:
        if self.is_attached and self._export is not None:
            share = f"{min(100 * count // self._order.total, 99)}%, " if self._order.total else ""
            self.verdict(
                self.workspace.glyphs.note, f"exporting: {share}{count} so far; esc stops it", "muted"
            )

    def _done(self, words: str, is_written: bool) -> None:
        self._export = None
        self.workspace.say(escape(words))
        if not self.is_attached:
            return
        if is_written:
            self.dismiss(None)
        else:
            self.wrong(escape(words))

    def action_leave(self) -> None:
        """Stop what is being written; otherwise leave."""
        if self._export is not None:
            self._export.stop()
        else:
            self.dismiss(None)

    def on_unmount(self) -> None:
        """The program ends: so does the export."""
        if self._export is not None:
            self._export.stop()


def suggested(order: Order) -> Order:
    """The same with a file name in the current directory."""
    return order._replace(target=default_target(order.capture, order.kind, Path.cwd()))
