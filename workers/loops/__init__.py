"""The event loops of coroutine consumers, in threads and under gevent."""
