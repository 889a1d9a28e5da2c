"""wsinspect: see what really happens on a WebSocket, learn why it fails, and break it on purpose."""

__version__ = "0.1.0"
