"""A capture's rows as lines for people and as JSON objects; no I/O and no decisions about what to show."""
