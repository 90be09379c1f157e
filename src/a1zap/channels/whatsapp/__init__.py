"""WhatsApp through Meta's Cloud API: signed webhook in, Graph calls out."""
