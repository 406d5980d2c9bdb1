"""The worker beside Channels 4's and beside task queues: see ``__main__.py``."""
