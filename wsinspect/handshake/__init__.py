"""The opening handshake as bytes (RFC 6455 §4): heads, what was negotiated, and how two heads differ."""
