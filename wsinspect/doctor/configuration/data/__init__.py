"""What readers of configurations know from documents, with the source of each line."""
