"""
The module ``asgi_redis.twisted_utils`` of asgi_redis 1.4.3, for old imports.

``defer`` is Twisted's module. Where Twisted is not installed, importing this raises ``ImportError``.
"""

from twisted.internet import defer

__all__ = ["defer"]
