"""Ways a mail goes out: one composed letter, one file a way."""
