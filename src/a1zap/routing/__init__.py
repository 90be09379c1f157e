"""Which agent answers."""
