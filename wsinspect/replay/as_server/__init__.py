"""The recorded server, played for clients."""
