"""Print what wsinspect finds wrong with WebSockets: stripped Upgrade headers, downgrades, drops, close codes.

Run it with stock mitmproxy: mitmdump -s findings.py --mode reverse:http://localhost:3000
Findings go to mitmproxy's log, and with everything else into a capture (--set wsinspect_capture=chat.db, else
in wsinspect's own place), which `wsinspect diagnose` reads. It installs wsinspect's relay seams and says so:
from then on WebSockets pass through unchanged, byte for byte, and mitmproxy collects no messages of them.
"""

from __future__ import annotations

import logging
from typing import Any

addons: list[Any] = []
try:
    from wsinspect.launch.paths import new_capture_path
    from wsinspect.proxy.stock import StockFindings
except ModuleNotFoundError as error:
    logging.error("findings.py cannot import wsinspect (%s): pipx inject mitmproxy wsinspect", error)
else:
    addons = [StockFindings(new_capture_path)]
