"""The link to the engine that writes the open capture; it knows no widget and no dialog."""
