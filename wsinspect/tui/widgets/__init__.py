"""The panes: each draws its lines from the model and tells the app what was chosen."""
