"""Configurations written into a folder, read as `--config` reads them, mended, and read again."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from wsinspect.doctor.configuration.diffs import diffs
from wsinspect.doctor.configuration.judging import mended
from wsinspect.doctor.configuration.model import Defect, Met
from wsinspect.doctor.configuration.reading import Configuration, read_configurations
from wsinspect.doctor.judge import Judgement
from wsinspect.doctor.target import parse_target
from wsinspect.errors import UsageError
from wsinspect.findings.model import Finding


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Files by their paths in the folder."""
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def read_in(folder: Path, files: Mapping[str, str], *paths: str) -> Configuration:
    """The one configuration that these files are.

    Args:
        paths: in the folder, as `--config` names them; the folder itself by default.
    """
    write_files(folder, files)
    (found,) = read_configurations([str(folder / one) for one in paths or (".",)])
    return found


def met_in(
    folder: Path, files: Mapping[str, str], url: str, *paths: str, version: tuple[int, ...] | None = None
) -> Met:
    """The place that a URL meets."""
    found = read_in(folder, files, *paths).meets(parse_target(url)[0], version)
    assert found is not None
    return found


def ends_in_an_answer(file: Path, text: str, url: str) -> None:
    """An odd or hostile file is refused as one clear line, or read: then a URL meets a place or none."""
    file.write_text(text)
    try:
        (read,) = read_configurations([str(file)])
    except UsageError:
        return
    found = read.meets(parse_target(url)[0])
    assert found is None or found.words


def kinds(met: Met) -> list[str]:
    """What is wrong there."""
    return [one.kind for one in met.defects]


def mend(read: Configuration, defect: Defect, url: str) -> Met:
    """What the URL meets after the diff of a defect; it has to be readable, and no new problem."""
    assert defect.edits, defect
    after = mended(read, defect.edits)
    assert after is not None
    found = after.meets(parse_target(url)[0])
    assert found is not None
    return found


def git_applies(read: Configuration, defect: Defect) -> None:
    """Apply the diff to the files on the disk, with both programs that people apply patches with."""
    base = read.base([one.file for one in defect.edits])
    text = "".join(one.exact for one in diffs(defect.edits, read.sources, base)).encode()
    for command in (
        ["git", "apply", "--check", "-p1", "-"],
        ["patch", "-p1", "--dry-run"],
        ["git", "apply", "-p1", "-"],
    ):
        done = subprocess.run(command, cwd=base, input=text, capture_output=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr, text.decode())


def judgement(rule: str, *evidence: str, title: str = "seen", hop: str | None = None) -> Judgement:
    """One error that somebody found."""
    one = Finding(
        id=rule,
        severity="error",
        fault_of="hop",
        hop=hop,
        title=title,
        meaning="",
        js="",
        confidence="medium",
        evidence=evidence or ("seen",),
        fixes=(),
    )
    return Judgement(verdict="failing", headline="", findings=(one,))
