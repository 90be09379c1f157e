"""Mail: what comes in as raw messages or through providers, and what goes out."""
