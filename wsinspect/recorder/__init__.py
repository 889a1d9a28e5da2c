"""The recorder process: the journal becomes rows of the capture; it narrates and runs the rules live."""
