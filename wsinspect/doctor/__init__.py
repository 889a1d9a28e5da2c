"""The doctor asks a WebSocket URL questions, one attempt each, and judges the answers like recorded traffic.

`planner` decides what to ask next (pure), `asker` sends it, `response` and `talk` read what comes back
without I/O, `judge` makes findings of it with the rules of `findings/`.
"""
