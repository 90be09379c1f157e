"""Where mail comes to us by other ways than HTTP: a receiver for the own mail server, and mailboxes that we look into."""
