"""addons/findings.py in a stock mitmdump: the demo's hop strips Upgrade, its server breaks off."""

import pytest

from tests.support.stock_addons import talk
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose

pytestmark = pytest.mark.asyncio


@pytest.mark.slow  # a stock mitmdump; `make test` starts one in test_addons.py
async def test_the_log_has_the_findings_that_diagnose_finds(tmp_path):
    path = tmp_path / "addon.db"
    log = await talk(tmp_path, "findings.py", [], "--set", f"wsinspect_capture={path}")
    assert "relay seams installed" in log
    with Capture.open(path) as capture:
        found = diagnose(capture.query)
    assert "WS-HS-002" in {one.id for one in found}
    for one in found:
        assert f"{one.id} {one.title}" in log
    assert "    fix: " in log
