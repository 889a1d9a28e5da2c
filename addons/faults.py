"""Break WebSockets on purpose: the rules of a wsinspect scenario, applied by stock mitmproxy.

Run it with stock mitmproxy: mitmdump -s faults.py --set wsinspect_faults=outage.yaml
or with rules on the command line: --set wsinspect_fault='latency:s2c,latency=300ms' (semicolons between
several). It installs wsinspect's relay seams and says so: from then on WebSockets pass through unchanged,
byte for byte, but for the faults, and mitmproxy collects no messages of them.
"""

from __future__ import annotations

import logging
from typing import Any

addons: list[Any] = []
try:
    from wsinspect.proxy.stock import StockFaults
except ModuleNotFoundError as error:
    logging.error("faults.py cannot import wsinspect (%s): pipx inject mitmproxy wsinspect", error)
else:
    addons = [StockFaults()]
