"""The table of `explain`: `situations.toml` (what is wrong, its causes) and a file of patterns per kind of
program (how each writes it). `table` reads them."""
