"""The engine: mitmproxy's listeners with our relay in place of its WebSocket layer.

This package is the only one that imports mitmproxy. Its parts, from the wire upwards:

- `seams`: the few named places where mitmproxy is changed, each with a start-up self-check;
- `link`: one WebSocket's two transports, how each ended, and how an end is passed on;
- `relay`: the sans-I/O layer that hands bytes from one side to the other;
- `splice`: the short cut between the two transports while nothing needs the layer;
- `direct`: ordinary opening handshakes, without mitmproxy's layers;
- `attempts`: the opening handshake as both sides saw it;
- `engine`: options, listeners, journal and recorder of one running proxy.
"""

from wsinspect.proxy.imports import import_addons_singly

# Before anything of mitmproxy's is imported.
import_addons_singly()
