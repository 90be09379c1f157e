"""Ways a mail comes in: one file a provider, each with its real rules of authenticity."""
