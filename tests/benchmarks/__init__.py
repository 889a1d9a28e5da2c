"""Benchmarks: what the relay costs, next to a plain connection, nginx, stock mitmproxy and mockttp.

Run with ``make bench`` or ``python -m tests.benchmarks`` from the repository's root. The load client and
the target server are processes of their own with nothing but the standard library, so that the peer between
them is measured.
"""
