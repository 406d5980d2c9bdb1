"""The event loop that coroutine consumers share, in threads and under gevent."""
