"""Record every WebSocket into a capture that `wsinspect show` reads.

Run it with stock mitmproxy: mitmdump -s capture.py --set wsinspect_capture=chat.db
Without the option the capture goes to wsinspect's own place and its name to the log. It installs
wsinspect's relay seams and says so: from then on WebSockets pass through unchanged, byte for byte, and
mitmproxy collects no messages of them.
"""

from __future__ import annotations

import logging
from typing import Any

addons: list[Any] = []
try:
    from wsinspect.launch.paths import new_capture_path
    from wsinspect.proxy.stock import StockRecording
except ModuleNotFoundError as error:
    logging.error("capture.py cannot import wsinspect (%s): pipx inject mitmproxy wsinspect", error)
else:
    addons = [StockRecording(new_capture_path)]
