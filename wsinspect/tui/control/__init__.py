"""The running engine as the screens reach it: its control API, and the dialogs over it."""
