"""The proof: the hop's own program on loopback, once with its configuration as it is and once with the diff.

It runs in a temporary folder, with our own listener, certificate and application. Only directives that
are known to be harmless are taken over; the rest is left out, and said.
"""
