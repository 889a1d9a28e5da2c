"""The recorded clients, played against a server."""
