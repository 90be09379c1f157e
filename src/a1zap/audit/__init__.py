"""Who did what to which thing, append-only."""
