"""HAProxy: its configuration read with its lines, and what it does to a handshake."""
