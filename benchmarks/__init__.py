"""asgi_redis beside its peers and beside the bare floor: see ``__main__.py``."""
