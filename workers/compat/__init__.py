"""Projects with Django, Channels 1 or Channels 4."""
