"""What connects the channel layers with other frameworks."""
