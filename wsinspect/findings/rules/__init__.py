"""The rules, one family of causes a file; each module fills its `rules`."""
