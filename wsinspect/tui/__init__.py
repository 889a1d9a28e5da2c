"""The terminal program on a capture, live or old: the only package that imports textual.

It reads nothing but the capture, so an engine at work and last week's file are one code path; a crash here
cannot touch traffic. Everything a peer sent goes through `wsinspect.text` before it becomes a cell.
"""
