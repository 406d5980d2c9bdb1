"""Other packages that consumers are written for: Django, Channels 1 and Channels 4."""
