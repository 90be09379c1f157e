"""What happens in an owner's house is told to the addresses they name: outgoing webhooks, their log and their retries."""
