"""The classic stack (daphne 1.4.2, Channels 1.1.8) with asgi_redis 1.4.3 and with this layer, side by side."""
