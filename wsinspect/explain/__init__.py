"""What a line of a console or a log says about a WebSocket: its causes in order, and what proves each."""
