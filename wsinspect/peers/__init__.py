"""Peers that somebody plays without a recording: a client to type into, and a server made of steps.

Contract: both speak RFC 6455 correctly unless asked for something else, show every frame, and take whatever
the other side sends as data. What was typed or written in a script and cannot be read is a `UsageError` of
one line.
"""
