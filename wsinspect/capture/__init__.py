"""The capture: its schema, its rows, and the read API (docs/capture-format.md)."""
