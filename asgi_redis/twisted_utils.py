"""
The name of ``asgi_redis.twisted_utils`` in asgi_redis 1.4.3, for imports that were written for it.

``defer`` is Twisted's module. Where Twisted is not installed, importing this raises ``ImportError``.
"""

from twisted.internet import defer

__all__ = ["defer"]
