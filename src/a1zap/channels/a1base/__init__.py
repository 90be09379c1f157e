"""WhatsApp, SMS, RCS and iMessage through A1Base."""
