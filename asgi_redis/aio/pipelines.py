"""
The pipelines of a layer: one to each server, or to each node of a cluster.

A shard that is a server has a pipeline to itself. The shards of a cluster share those to the nodes, and have queues
of requests, which go to the node that has the shard at the time.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from asgi_redis.aio.loop_waker import NOT_SENT, Future, settle
from asgi_redis.aio.pipeline import Pipeline
from asgi_redis.aio.runner import Closable, RequestQueues
from asgi_redis.aio.shard_queue import Answer, ShardQueue, ShardRequest
from asgi_redis.connection import Server, Shard
from asgi_redis.process import fork


class Pipelines(NamedTuple):
    """
    The queues of the shards of a layer, and the threads that work on them.

    ``of_groups`` are for the calls that add and discard members. While a slot moves, such a call may have to wait,
    and those in ``queues`` go on.
    """

    queues: RequestQueues
    of_groups: RequestQueues
    threads: Sequence[Closable]


def make_pipelines(shards: Sequence[Shard]) -> Pipelines:
    """Return the pipelines of a layer, which start at their first use."""
    if any(shard.moves for shard in shards):
        nodes = NodePipelines(shards)
        return Pipelines(nodes.queues, nodes.of_groups, [nodes])
    pipelines = {shard: Pipeline(shard.server) for shard in shards}
    return Pipelines(pipelines, pipelines, [*pipelines.values()])


class NodePipelines:
    """The pipelines to the nodes of a cluster, one for each that has a shard."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.queues = {shard: ShardQueue(shard, self) for shard in shards}
        self.of_groups = {shard: ShardQueue(shard, self) for shard in shards}
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start without pipelines and requests: they are the parent's."""
        # Reentrant, as that of the pipelines.
        self._own_lock = threading.RLock()
        self._pipelines: dict[Server, Pipeline] = {}
        for queue in self._all_queues():
            queue.start_process()

    def _all_queues(self) -> list[ShardQueue]:
        return [*self.queues.values(), *self.of_groups.values()]

    @property
    def lock(self) -> threading.RLock:
        """Guards the queues. It is taken before the lock of a pipeline."""
        fork.check()
        return self._own_lock

    def pipeline_to(self, server: Server, queue: ShardQueue) -> Pipeline:
        """Return the pipeline for a queue whose shard is on ``server``."""
        before, queue.server = queue.server, server
        if before is not server and (before is not None or server not in self._pipelines):
            self.end_unused()
        if server not in self._pipelines:
            self._pipelines[server] = Pipeline(server, self.deliver)
        return self._pipelines[server]

    def end_unused(self) -> None:
        """End the pipelines to nodes without a shard, which may have left."""
        used = {queue.shard.known_server or queue.server for queue in self._all_queues()}
        for server in self._pipelines.keys() - used:
            self._pipelines.pop(server).stop()

    def start_retry(self, call: Callable[[], object], name: str) -> None:
        """Make ``call`` in a thread. Raises ``RuntimeError`` where there is none."""
        threading.Thread(target=call, name=name, daemon=True).start()

    def rested(self, queue: ShardQueue) -> None:
        """Take note that a queue is empty. With the lock held."""

    def deliver(self, answers: Iterable[Answer]) -> None:
        """Settle the futures of requests, unless they have to be made again."""
        outcomes: list[tuple[Future, Any]] = []
        numbers: dict[ShardQueue, int] = {}
        refused: dict[ShardQueue, list[ShardRequest]] = {}
        for request, outcome in answers:
            queue = request.queue
            numbers[queue] = numbers.get(queue, 0) + 1
            if outcome is NOT_SENT:
                request.error = None
                if not request.future.cancelled():
                    refused.setdefault(queue, []).append(request)
                continue
            if isinstance(outcome, RedisError):
                if queue.shard.may_retry(outcome):
                    request.error = outcome
                    refused.setdefault(queue, []).append(request)
                    continue
                queue.shard.lost(outcome)
            outcomes.append((request.future, outcome))
        settle(outcomes)
        with self.lock:
            for queue, number in numbers.items():
                queue.answered(number, refused.get(queue, ()))

    def end(self) -> None:
        """Let the threads end, soon. For finalisers, which must not take a lock."""
        for pipeline in list(self._pipelines.values()):
            pipeline.end()

    def close(self, timeout: float) -> None:
        """End the threads within ``timeout`` seconds, after the requests of before."""
        deadline = time.monotonic() + timeout
        marks = [queue.mark() for queue in self._all_queues()]
        concurrent.futures.wait(marks, timeout)
        with self.lock:
            pipelines, self._pipelines = list(self._pipelines.values()), {}
        for pipeline in pipelines:
            pipeline.close(max(0.0, deadline - time.monotonic()))
