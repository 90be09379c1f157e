"""What to answer: a turn goes in, steps come out as data."""
