"""`--config` and `--write`, which `doctor` and `diagnose` share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wsinspect.cli.output import say

if TYPE_CHECKING:
    from wsinspect.doctor.configuration.judging import Explained
    from wsinspect.doctor.configuration.reading import Configuration
    from wsinspect.doctor.judge import Judgement
    from wsinspect.doctor.target import Target

DEFAULT_PATCH: Final = "wsinspect.patch"

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "configurations",
    multiple=True,
    metavar="PATH",
    help="The proxy's configuration (file, folder, or '-' for what nginx -T prints): name the file and line,"
    " with a diff; repeatable.",
)


def read(paths: Sequence[str]) -> tuple[Configuration, ...]:
    """The configurations that `--config` names; what could not be read is said on stderr.

    Raises:
        UsageError: there is none.
    """
    if not paths:
        return ()
    from wsinspect.doctor.configuration.reading import STDIN, read_configurations
    from wsinspect.doctor.configuration.sources import MAX_TOTAL

    text = None
    if STDIN in paths:
        text = sys.stdin.buffer.read(MAX_TOTAL + 1).decode("utf-8", "surrogateescape")
    found = read_configurations(paths, text)
    for problem in (one for each in found for one in each.problems):
        say(f"not read: {problem}")
    return found


def check_configurations(paths: Sequence[str]) -> tuple[str, ...]:
    """The same paths from the root, for another process that reads them; what could not be read is said.

    Raises:
        click.UsageError: stdin is one of them.
        UsageError: there is no configuration in them.
    """
    if "-" in paths:
        raise click.UsageError("--config - is read once; save what nginx -T prints, and give that file")
    read(paths)
    return tuple(map(_from_the_root, paths))


def _from_the_root(path: str) -> str:
    """Without `..` where that leads to the same place: behind a symbolic link it need not."""
    short = os.path.abspath(path)  # noqa: PTH100  resolve() would follow links
    return short if os.path.realpath(short) == os.path.realpath(path) else str(Path(path).absolute())


def check_patch(file: Path, paths: Sequence[str]) -> None:
    """Before anything is asked: whether `--write` can do its work at all.

    Raises:
        click.UsageError: there is no --config, or the file is there already.
    """
    if not paths:
        raise click.UsageError("--write needs --config: without it there is no diff to save")
    if os.path.lexists(file):
        raise click.UsageError(f"{file} is there already; give --write another name")


def check_prove(paths: Sequence[str]) -> None:
    """Before anything is asked: whether `--prove` can do its work at all.

    Raises:
        click.UsageError: there is no --config.
    """
    if not paths:
        raise click.UsageError("--prove needs --config: without it there is nothing to run")


def prove_fix(
    judgement: Judgement, explained: Explained | None, places: Sequence[Configuration], target: Target
) -> Judgement:
    """The judgement with what running the hop's own program showed; what was left out is said on stderr.

    Where no line explains the finding, each configuration is run as it is: that tells whether it is the
    hop's.
    """
    import asyncio
    from dataclasses import replace

    from wsinspect.doctor.proof.proving import prove_all, with_proof

    proofs = asyncio.run(prove_all(explained, places, target))
    for note in (one for proof in proofs for one in proof.notes):
        say(f"proof: {note}")
    if explained is None:
        return replace(judgement, ruled_out=(*judgement.ruled_out, *(proof.words for proof in proofs)))
    (proof,) = proofs
    findings = list(judgement.findings)
    findings[explained.index] = with_proof(findings[explained.index], proof)
    words = f"proven: {proof.words}" if proof.proven else proof.words
    return replace(judgement, findings=tuple(findings), headline=f"{judgement.headline} ({words})")


def save_patch(file: Path, explained: Explained | None) -> None:
    """Write the diff that mends it; a new file for the user alone, since lines of a configuration are in it.

    Raises:
        LocalError: it cannot be written.
    """
    from wsinspect.errors import LocalError
    from wsinspect.text import escape

    if explained is None or not explained.diffs:
        say("there is no diff to save")
        return
    text = "".join(one.exact for one in explained.diffs)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise LocalError(f"cannot write {file}: {error.strerror}") from None
    base = explained.configuration.base([one.file for one in explained.diffs])
    shown = escape(str(file.absolute()))
    say(f"saved {shown}; apply it with: patch -p1 -d {base} < {shown}")
