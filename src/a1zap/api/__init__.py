"""The HTTP face: translates, decides nothing."""
