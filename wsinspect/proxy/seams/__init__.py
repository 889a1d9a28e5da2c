"""Where mitmproxy is changed, and nowhere else.

Each module names one seam: what stock mitmproxy does there, what we need instead, and the names it relies
on. `install` checks all of them first and refuses to run on a mitmproxy it does not know; it can be called
again without harm. Nothing is patched at import time.
"""

from __future__ import annotations

from wsinspect.proxy.seams.bridging import install_bridging
from wsinspect.proxy.seams.check import verify
from wsinspect.proxy.seams.http1 import install_http1
from wsinspect.proxy.seams.http2 import install_http2
from wsinspect.proxy.seams.messages import install_messages
from wsinspect.proxy.seams.waste import install_waste
from wsinspect.proxy.seams.websocket import install_websocket_layer

__all__ = ["install"]


def install() -> None:
    """Put every seam in place.

    Raises:
        LocalError: this mitmproxy is not one that the seams were written for.
    """
    verify()
    install_http1()
    install_http2()
    install_bridging()
    install_websocket_layer()
    install_messages()
    install_waste()
