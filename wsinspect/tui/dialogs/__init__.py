"""Dialogs: what covers a screen until it is answered or left."""
