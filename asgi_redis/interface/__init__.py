"""
An ASGI 3 application that holds the connections for classic consumers.

``application`` uses the layer ``default`` of Django's ``CHANNEL_LAYERS``:
``uvicorn asgi_redis.interface:application``.
"""

from asgi_redis.interface.application import Interface

application = Interface()

__all__ = ["Interface", "application"]
