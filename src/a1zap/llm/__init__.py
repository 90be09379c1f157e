"""Model providers behind one port: one file a wire format, and the chain that falls back."""
