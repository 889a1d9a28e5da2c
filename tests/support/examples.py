"""How many examples hypothesis tries where a test wants another number than the rest.

The profile scales it (tests/conftest.py): `make test` tries fewer, `HYPOTHESIS_PROFILE=deep` more.
"""

from __future__ import annotations

from hypothesis import settings

_USUAL = 50


def examples(count: int) -> settings:
    """So many with `make test-all`."""
    usual = settings.default
    assert usual is not None
    return settings(max_examples=max(1, count * usual.max_examples // _USUAL), deadline=None)
