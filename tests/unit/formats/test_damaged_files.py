"""Files from a stranger in other formats: some cases of tests/fuzz_imports.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz_imports import check, make_case, sound_files


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sound_files(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize(
    "number", [*range(6), *(pytest.param(n, marks=pytest.mark.slow) for n in range(6, 60))]
)
def test_a_damaged_file_is_one_line_or_a_capture(
    number: int, sound: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path, done = make_case(number, sound, tmp_path)
    assert [*check(path, tmp_path)] == [], done


@pytest.mark.slow  # each format's own tests import one
def test_the_sound_ones_are_imported(sound: list[Path], tmp_path: Path) -> None:
    for path in sound:
        assert [*check(path, tmp_path)] == []
