"""Log the opening handshakes of WebSockets with the headers of both sides, refused ones too.

Run it with stock mitmproxy: mitmdump -s handshake_log.py --mode reverse:http://localhost:3000
It installs wsinspect's relay seams and says so: from then on WebSockets pass through unchanged, byte for
byte, and mitmproxy collects no messages of them.
"""

from __future__ import annotations

import logging
from typing import Any

addons: list[Any] = []
try:
    from wsinspect.proxy.stock import HandshakeLog
except ModuleNotFoundError as error:
    logging.error("handshake_log.py cannot import wsinspect (%s): pipx inject mitmproxy wsinspect", error)
else:
    addons = [HandshakeLog()]
