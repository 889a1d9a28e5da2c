"""The journal: what the engine saw, appended to segment files before anything looks at it.

The engine hands every raw chunk and every event to a `writer.JournalWriter`; the recorder, another process,
tails the same directory with a `reader.JournalReader`. The journal is the spill and the crash safety in one.
Standard library only.
"""
