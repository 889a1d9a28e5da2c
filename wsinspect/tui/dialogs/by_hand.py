"""A frame made by hand, shown byte for byte before it is sent; and ending a connection by hand."""

from __future__ import annotations

import secrets
from typing import Final

from textual.app import ComposeResult

from wsinspect.present.cells import flow
from wsinspect.present.rows import byte_count
from wsinspect.text import escape
from wsinspect.tui.dialogs.sheet import Dialog, DialogInput, Label, Pick, Question, Reply, TextField
from wsinspect.tui.dialogs.typed_frame import (
    FORMS,
    OPCODES,
    close_parts,
    frame_bytes,
    hex_words,
    oddities,
    typed_payload,
)
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import Answer, Work
from wsinspect.tui.widgets.words import Words
from wsinspect.tui.workspace import Workspace

_SHOWN_BYTES: Final = 44
_RECEIVERS: Final = {"c2s": "the server", "s2c": "the client"}
_YES: Final = Reply(("y", "Y"), "y", "yes, do it", "yes")


class ByHand(Dialog):
    """Something done to one connection after a question, which Enter does not answer.

    Args:
        connection: its number.
        target: its path, for the title.
    """

    def __init__(self, workspace: Workspace, connection: int, target: str) -> None:
        super().__init__(workspace)
        self.connection = connection
        self.target = escape(target)
        self._is_asking = False

    def ask_first(self, question: str, work: Work, done: str) -> None:
        """Ask the user, then the proxy."""

        def answered(reply: str | None) -> None:
            if reply == "yes" and not self._is_asking:
                self._is_asking = True
                self.verdict(self.workspace.glyphs.note, "asking the proxy", "muted")
                self.workspace.ask(work, lambda answer: self._done(answer, done))

        # The dialog stays in sight above it, with its title.
        self.app.push_screen(Question(self.workspace, "Confirm", question, [_YES]), answered)

    def _done(self, answer: Answer, words: str) -> None:
        self._is_asking = False
        if answer.error:
            if self.is_attached:
                self.wrong(escape(answer.error))
            self.workspace.say(escape(answer.error))
            return
        self.workspace.say(words)
        if self.is_attached:
            self.dismiss(None)


class InjectDialog(ByHand):
    """A frame, typed field by field and sent to one side."""

    def __init__(self, workspace: Workspace, connection: int, target: str, direction: str = "s2c") -> None:
        super().__init__(workspace, connection, target)
        self.heading = f"Inject a frame, conn {connection} {self.target}"
        self._direction = direction
        self._key = secrets.token_bytes(4)
        self._raw = b""

    def content(self) -> ComposeResult:
        """Its parts, and its bytes."""
        yield Pick(
            self.workspace,
            "direction",
            [("s2c", "s>c, to the client"), ("c2s", "c>s, to the server")],
            id="inject-way",
        )
        yield Pick(self.workspace, "opcode", [(name, name) for name in OPCODES], id="inject-opcode")
        yield Pick(self.workspace, "payload as", FORMS, id="inject-form")
        yield Pick(self.workspace, "FIN", [("yes", "1, whole"), ("no", "0, a fragment")], id="inject-fin")
        yield TextField(self.workspace, "payload", DialogInput(id="inject-payload"))
        yield Words(self.workspace, id="inject-bytes")

    def on_mount(self) -> None:
        """Type the payload at once."""
        self.pick("inject-way").value = self._direction
        self.set_focus(self.input("inject-payload"))
        self.judge()

    def judge(self) -> None:
        """Show its bytes, and what is odd about it."""
        opcode, form = self.pick("inject-opcode").value, self.pick("inject-form").value
        fin = self.pick("inject-fin").value == "yes"
        is_code = opcode == "close" and form == "text"
        self.query_one("TextField Label", Label).name_it("code, reason" if is_code else "payload")
        glyphs = self.workspace.glyphs
        try:
            payload = typed_payload(opcode, form, self.input("inject-payload").value)
        except ValueError as error:
            self._raw = b""
            self._show_bytes("")
            self.wrong(escape(str(error)))
            return
        way = self.pick("inject-way").value
        self._raw = frame_bytes(way, opcode, payload, fin=fin, key=self._key)
        self._show_bytes(f"{byte_count(len(self._raw))}: {hex_words(self._raw, _SHOWN_BYTES)}")
        odd = oddities(opcode, payload, fin=fin)
        if odd:
            self.verdict(glyphs.warning, f"{'; '.join(odd)}. It is sent as it is.", "warn")
        else:
            masked = ", masked as a client's" if way == "c2s" else ""
            words = f"a correct frame for {_RECEIVERS[way]}{masked}; enter asks for confirmation, then sends"
            self.verdict(glyphs.good, words, "good")

    def _show_bytes(self, words: str) -> None:
        lines = flow(words, max(self.width - 16, 20))[:3] if words else []
        first = [(" bytes        ", "muted"), (lines[0] if lines else "", "")]
        rest = [[(" " * 14 + line, "")] for line in lines[1:]]
        self.words("inject-bytes").show([first, *rest, *[[] for _ in range(2 - len(rest))]])

    def submit(self) -> None:
        self.judge()
        if not self._raw:
            return
        way, size = self.pick("inject-way").value, byte_count(len(self._raw))
        receiver = _RECEIVERS[way]
        question = (
            f"Send these {size} to {receiver} on connection {self.connection}? They cannot be taken back: "
            f"{hex_words(self._raw, _SHOWN_BYTES)}"
        )
        done = f"injected {size} to {receiver} on connection {self.connection}; it is marked in the frames"
        self.ask_first(question, requests.inject(self.connection, way, self._raw), done)


class EndDialog(ByHand):
    """The end of a connection: a closing handshake, a FIN or an RST."""

    def __init__(self, workspace: Workspace, connection: int, target: str, how: str = "close") -> None:
        super().__init__(workspace, connection, target)
        self.heading = f"End conn {connection} {self.target}"
        self._how = how

    def content(self) -> ComposeResult:
        """How to end it, and for whom."""
        ways = [("close", "closing handshake"), ("fin", "FIN, no CLOSE"), ("rst", "RST, no CLOSE")]
        yield Pick(self.workspace, "how", ways, id="end-how")
        yield Pick(
            self.workspace, "sent to", [(one, one) for one in ("both", "client", "server")], id="end-to"
        )
        yield TextField(self.workspace, "code, reason", DialogInput("1001", id="end-code"))

    def on_mount(self) -> None:
        self.pick("end-how").value = self._how
        self.set_focus(self.pick("end-how"))
        self.judge()

    def judge(self) -> None:
        """Say what will be sent."""
        how, to = self.pick("end-how").value, self.pick("end-to").value
        whom = "both sides" if to == "both" else f"the {to}"
        glyphs = self.workspace.glyphs
        self.input("end-code").disabled = how != "close"
        try:
            code, reason = close_parts(self.input("end-code").value)
        except ValueError as error:
            self.wrong(escape(str(error)))
            return
        if how != "close":
            other = "" if to == "both" else "; the other side gets a FIN"
            words = f"{how.upper()} to {whom} without a CLOSE frame: JavaScript sees 1006{other}"
        elif code:
            words = f"CLOSE {code} {escape(reason)}".rstrip() + f" to {whom}, as a closing handshake"
        else:
            words = f"an empty CLOSE to {whom}, as a closing handshake"
        self.verdict(glyphs.good, words, "good")

    def submit(self) -> None:
        """Ask, then end it."""
        how, to = self.pick("end-how").value, self.pick("end-to").value
        try:
            code, reason = close_parts(self.input("end-code").value)
        except ValueError as error:
            self.wrong(escape(str(error)))
            return
        if how == "close":
            work = requests.close(self.connection, to, code, reason)
        else:
            work = requests.abort(self.connection, to, how)
        what = "a closing handshake" if how == "close" else f"a {how.upper()} and no CLOSE frame"
        question = f"End connection {self.connection} with {what}? It cannot be opened again from here."
        self.ask_first(question, work, f"you closed connection {self.connection}")
