"""Engines as processes: where their files lie, which run, and which capture is the last."""
