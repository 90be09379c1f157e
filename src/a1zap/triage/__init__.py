"""Which workflow answers."""
