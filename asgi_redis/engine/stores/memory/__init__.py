"""The store of ``InMemoryChannelLayer``."""
