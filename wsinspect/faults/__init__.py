"""Faults: what is done to traffic on purpose, decided without I/O.

A `Rule` says what (a kind of `kinds`), to which traffic (direction, filter) and when; `connection` applies
the rules to one WebSocket's bytes and answers with actions; `scenario` reads rules from files. Clock and
seed are arguments: the same traffic with the same seed meets the same faults (`seeded`). Every time here
(`now`, `due`) is in nanoseconds of the caller's clock, and directions of rules are "c2s", "s2c" or "both".
"""
