"""Engines as processes: where their files are, which are running, and which capture is the last."""
