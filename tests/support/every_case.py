"""Very many small cases as one test: all are tried, and each that fails is named.

A test of pytest's own costs a few milliseconds to collect, on each worker, to run and to report. That is
more than a look-up or a parse does. A case that is worth running alone has a name and is parametrised.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_SHOWN = 20


class EveryCase:
    """The cases of one test.

    Attributes:
        tried: how many there were.
        failed: what each that failed is called, and why.
    """

    def __init__(self) -> None:
        self.tried = 0
        self.failed: list[tuple[str, BaseException]] = []

    @contextmanager
    def __call__(self, *name: Any) -> Iterator[None]:
        """One case; whatever it asserts or raises is kept for the end."""
        self.tried += 1
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            self.failed.append((" ".join(map(str, name)), error))


@contextmanager
def every_case(least: int = 1) -> Iterator[EveryCase]:
    """Try cases: `with every_case() as case: ... with case("name"): assert ...`.

    Args:
        least: how many there are at least; an empty table proves nothing.

    Raises:
        AssertionError: some failed, or there were too few.
    """
    cases = EveryCase()
    yield cases
    if cases.failed:
        lines = [f"{name}: {type(error).__name__}: {error}" for name, error in cases.failed[:_SHOWN]]
        more = [f"and {len(cases.failed) - _SHOWN} more"] if len(cases.failed) > _SHOWN else []
        words = "\n".join([f"{len(cases.failed)} of {cases.tried} cases failed:", *lines, *more])
        raise AssertionError(words) from cases.failed[0][1]
    assert cases.tried >= least, f"{cases.tried} cases, at least {least} expected"
