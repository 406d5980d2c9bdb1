"""Benchmarks of asgi_redis, of other layers, and of a bare round trip."""
