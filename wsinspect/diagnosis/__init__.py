"""Facts for the rules out of a capture, joined across taps; the diagnosis of a whole capture, also live."""
