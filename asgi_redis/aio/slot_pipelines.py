"""
The pipelines to the nodes of a cluster, for requests to any of its slots.

There are too many slots for a queue and a thread each: a slot has a queue while it has requests, and a few threads
make refused requests again.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

from asgi_redis.aio.pipelines import NodePipelines
from asgi_redis.aio.runner import AnyFuture, IOThreads
from asgi_redis.aio.shard_queue import ShardQueue
from asgi_redis.connection import Shard
from asgi_redis.connection.cluster import Cluster
from asgi_redis.wire import Operation

_THREADS = 8

_Retry = Callable[[], object]


class RetryThreads(IOThreads[_Retry]):
    """Threads in which refused requests are made again."""

    def submit(self, call: _Retry) -> None:
        """Make a call. Raises ``RuntimeError`` where no thread starts."""
        with self._lock:
            if not self._can_run():
                raise RuntimeError("no thread could be started")
            self._queue.put(call)

    def _run(self, queue: SimpleQueue[_Retry | None]) -> None:
        while (call := queue.get()) is not None:
            call()


class SlotRequests:
    """Takes the requests to one slot."""

    def __init__(self, pipelines: SlotPipelines, shard: Shard) -> None:
        self._pipelines = pipelines
        self._shard = shard

    def submit(self, operation: Operation, future: AnyFuture) -> AnyFuture:
        """Return ``future``, which gets the result of ``operation``."""
        pipelines = self._pipelines
        with pipelines.lock:
            return pipelines.queue_of(self._shard).submit(operation, future)


class SlotPipelines(NodePipelines):
    """Pipelines to the nodes of a cluster, for its slots as shards."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._retries = RetryThreads(f"retries at the cluster of {cluster.name}", _THREADS)
        super().__init__(())

    def start_process(self) -> None:
        self.queues = {}
        super().start_process()

    def __getitem__(self, shard: Shard, /) -> SlotRequests:
        return SlotRequests(self, shard)

    def queue_of(self, shard: Shard) -> ShardQueue:
        """Return the queue of a slot, a new one if it has none. With the lock held."""
        if shard not in self.queues:
            self.queues[shard] = ShardQueue(shard, self)
        return self.queues[shard]

    def end_unused(self) -> None:
        for server in self._pipelines.keys() - self._cluster.servers:
            self._pipelines.pop(server).stop()

    def rested(self, queue: ShardQueue) -> None:
        if self.queues.get(queue.shard) is queue:
            del self.queues[queue.shard]

    def start_retry(self, call: Callable[[], object], name: str) -> None:
        self._retries.submit(call)

    def end(self) -> None:
        super().end()
        self._retries.end()

    def close(self, timeout: float) -> None:
        super().close(timeout)
        self._retries.close(timeout)
