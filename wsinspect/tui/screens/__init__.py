"""The pages, each a screen of its own; what they ask of the program goes up as messages."""
