"""The capture: journal, schema, recorder process and the read API (DESIGN: docs/capture-format.md)."""
