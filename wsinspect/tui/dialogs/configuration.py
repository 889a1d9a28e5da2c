"""Asks where a hop's configuration is, reads it, and, where that is wanted, tries the diff with the hop's own
program: in a thread, since both take their time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from wsinspect.doctor.configuration.judging import explain_finding
from wsinspect.doctor.configuration.reading import Configuration, read_configurations
from wsinspect.doctor.target import Target
from wsinspect.errors import WsinspectError
from wsinspect.findings.model import Finding
from wsinspect.text import escape
from wsinspect.tui.dialogs.sheet import CANCEL, SELECT, Dialog, DialogInput, Pick, TextField
from wsinspect.tui.workspace import Workspace

if TYPE_CHECKING:
    from wsinspect.doctor.proof.proving import Proof

_EXPLAINED = "a file or folder, such as /etc/nginx or Caddyfile; it is read, and nothing is changed"


class Reading(threading.Thread):
    """Reads, and proves.

    Args:
        tell: called in this thread with a function and its arguments, to have it called in the event loop.
        done: gets what was read and the proof, or in words why there is nothing.
    """

    def __init__(
        self,
        paths: Sequence[str],
        finding: Finding,
        target: Target,
        tell: Callable[..., None],
        done: Callable[[Sequence[Configuration] | str, Proof | None], None],
        *,
        proves: bool,
    ) -> None:
        super().__init__(name="configuration", daemon=True)
        self._paths, self._finding, self._target = paths, finding, target
        self._tell, self._done, self._proves = tell, done, proves

    def run(self) -> None:
        read: Sequence[Configuration] | str
        proof: Proof | None = None
        try:
            read = read_configurations([str(Path(one).expanduser()) for one in self._paths])
            if self._proves:
                _, explained = explain_finding(self._finding, read, self._target)
                from wsinspect.doctor.proof.proving import (
                    prove,  # all its hops: only where somebody asks for it
                )

                proof = asyncio.run(prove(explained, self._target)) if explained is not None else None
        except (WsinspectError, OSError) as error:
            read = str(error)
        self._tell(self._done, read, proof)


class ConfigurationDialog(Dialog):
    """See the module docstring.

    Args:
        row: of the finding that it is about.
        read_again: called once other configurations are known.
    """

    heading = "Read its configuration"
    keys = (SELECT, ("enter", "read"), CANCEL)

    def __init__(
        self,
        workspace: Workspace,
        row: int,
        finding: Finding,
        target: Target,
        read_again: Callable[[], None],
    ) -> None:
        super().__init__(workspace)
        self._row, self._finding, self._target, self._read_again = row, finding, target, read_again
        self._reading: Reading | None = None

    def content(self) -> ComposeResult:
        """The path, and whether the diff is tried."""
        known = " ".join(self.workspace.places.paths)
        yield TextField(self.workspace, "path", DialogInput(known, id="configuration-path"))
        yield Pick(
            self.workspace,
            "proof",
            [("no", "none"), ("yes", "run the proxy's program on loopback, before and after the diff")],
            id="configuration-proof",
        )

    def on_mount(self) -> None:
        line = self.input("configuration-path")
        line.cursor_position = len(line.value)
        self.set_focus(line)
        self.judge()

    def _paths(self) -> list[str]:
        """One path, or several with blanks in between."""
        text = self.input("configuration-path").value.strip()
        return [text] if not text or Path(text).expanduser().exists() else text.split()

    def judge(self) -> None:
        """Say whether it is there."""
        if self._reading is not None:
            return
        missing = next((one for one in self._paths() if one and not Path(one).expanduser().exists()), None)
        if missing is not None:
            self.wrong(escape(f"{missing} is not there"))
        else:
            self.verdict(self.workspace.glyphs.note, _EXPLAINED, "muted")

    def submit(self) -> None:
        """Read what the path names, in a thread."""
        paths = self._paths()
        if self._reading is not None or not paths[0]:
            return
        if any(not Path(one).expanduser().exists() for one in paths):
            self.judge()
            return
        proves = self.pick("configuration-proof").value == "yes"
        words = "reading it, and running the proxy's program" if proves else "reading it"
        self.verdict(self.workspace.glyphs.note, words, "muted")

        def done(read: Sequence[Configuration] | str, proof: Proof | None) -> None:
            self._done(paths, read, proof)

        self._reading = Reading(
            paths, self._finding, self._target, self.workspace.deliver, done, proves=proves
        )
        self._reading.start()

    def _done(self, paths: Sequence[str], read: Sequence[Configuration] | str, proof: Proof | None) -> None:
        self._reading = None
        if not self.is_attached:
            return
        if isinstance(read, str):
            self.wrong(escape(read))
            return
        places = self.workspace.places
        places.take(paths, read)
        if proof is not None:
            places.proofs[self._row] = proof
        problems = [problem for one in read for problem in one.problems]
        if problems:
            self.workspace.say(escape(f"not read: {problems[0]}"))
        self._read_again()
        self.dismiss(None)
