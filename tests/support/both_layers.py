"""The same on a layer of channels_redis and on one of this package."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import redis
from channels_redis import pubsub

NOTHING = "nothing"
Scenario = Callable[[Any], Awaitable[Any]]


async def outcome(call: Awaitable[Any], seconds: float = 1) -> Any:
    """Return the result of a call, the class of its error, or NOTHING where it takes longer."""
    try:
        return await asyncio.wait_for(call, seconds)
    except asyncio.TimeoutError:
        return NOTHING
    except Exception as error:  # noqa: BLE001  which one it is, is the question
        return type(error)


class Both:
    """A layer of channels_redis and one of this package, made and used in the same way."""

    def __init__(self, urls: list[str], stock: type, ours: type) -> None:
        self.urls = urls
        self.client = redis.Redis.from_url(urls[0])
        self._classes = stock, ours

    def __call__(self, scenario: Scenario, **settings: Any) -> tuple[Any, ...]:
        return tuple(asyncio.run(self._run(made, scenario, settings)) for made in self._classes)

    async def _run(self, made: type, scenario: Scenario, settings: dict[str, Any]) -> Any:
        layer = made(**{"hosts": self.urls, "prefix": f"t{uuid.uuid4().hex[:12]}", **settings})
        try:
            return await scenario(layer)
        finally:
            with contextlib.suppress(redis.RedisError, AssertionError):
                await (layer.close_pools() if made is not pubsub.RedisPubSubChannelLayer else layer.flush())

    def errors(self, *arguments: Any, **settings: Any) -> tuple[type | None, ...]:
        """Return the classes of the errors of the two constructors."""
        found: list[type | None] = []
        for made in self._classes:
            try:
                made(*arguments, **({} if arguments else {"hosts": self.urls}), **settings)
            except Exception as error:  # noqa: BLE001  which one it is, is the question
                found.append(type(error))
            else:
                found.append(None)
        return tuple(found)
