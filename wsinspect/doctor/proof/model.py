"""What it takes to run a configuration safely: files, a command, and where each line of it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from wsinspect.doctor.configuration.model import Met, Place
from wsinspect.doctor.target import Target

#: What `{folder}` in files and commands stands for.
FOLDER = "{folder}"


class Stage(NamedTuple):
    """What replaces the outside world.

    Attributes:
        folder: the temporary one; all that is written is below it.
        port: to listen at, on 127.0.0.1.
        application: the port of our own application, on 127.0.0.1.
        certificate: certificate and key in one PEM file; None if the URL has no TLS.
        scale: all times are divided by this.
        defined: variables to define as empty, because what defines them is left out.
    """

    folder: Path
    port: int
    application: int
    certificate: Path | None
    scale: float = 1.0
    defined: tuple[str, ...] = ()


@dataclass
class Setup:
    """A configuration that is safe to run.

    Attributes:
        files: texts by their names in the folder.
        command: the program and its arguments.
        check: a command that only checks the configuration; None if the program has none.
        left_out: what was not taken over, in its own words.
        origins: for each line of a file, from 1, where it comes from.
        refusal: what the program said, as the sentence of it that counts and the place that is meant, where
            it does not name a line of a file.
        is_entered: whether the program looks into the folder once it has given up the rights of root.
    """

    files: dict[str, str]
    command: Sequence[str]
    check: Sequence[str] | None = None
    left_out: list[str] = field(default_factory=list)
    origins: Mapping[str, Sequence[Place | None]] = field(default_factory=dict)
    refusal: Callable[[str], str | None] = lambda said: None
    is_entered: bool = False


class Writer:
    """The text of a configuration, line by line.

    Attributes:
        lines: without line ends.
        origins: where each comes from, from line 1 on, as in `Setup`.
        left_out: what was not taken over, in its own words.
    """

    def __init__(self, stage: Stage) -> None:
        self.lines: list[str] = []
        self.origins: list[Place | None] = [None]
        self.left_out: list[str] = []
        self.stage = stage

    def line(self, text: str, at: Place | None = None) -> None:
        """Add a line that comes from `at`, or is our own."""
        self.lines.append(text)
        self.origins.append(at)


class Prover(Protocol):
    """Makes of a software's configuration one that is safe to run."""

    @property
    def programs(self) -> Sequence[str]:
        """Names of the program; the first that is on this machine is run."""

    @property
    def version_arguments(self) -> Sequence[str]:
        """What makes it print its version."""

    def refuses(self, version: str) -> str | None:
        """Why this version cannot be run safely; None if it can."""

    def setup(self, tree: Any, met: Met, target: Target, stage: Stage) -> Setup:
        """The configuration around the place that the URL meets."""

    def missing_variable(self, words: str, setup: Setup) -> str | None:
        """A variable that the program misses because what defines it was left out."""
