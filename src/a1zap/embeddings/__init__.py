"""Text to vectors behind one port."""
