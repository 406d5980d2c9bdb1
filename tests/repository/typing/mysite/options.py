"""A layer of the project with options of its own, and one that passes options on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.layers.options import CommonOptions, Option, RedisOptions, must_be, resolve, select, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack

_colour = must_be("a colour", lambda value: value in ("red", "blue"))


class PaintedOptions(CommonOptions, total=False):
    colour: Annotated[str, Option("The colour of the channels.", "blue", _colour)]


class Painted(InMemoryChannelLayer):
    @takes(PaintedOptions)
    def __init__(self, **options: Unpack[PaintedOptions]) -> None:
        settings = resolve(self, PaintedOptions, options)
        super().__init__(**select(CommonOptions, settings))
        self.colour = settings["colour"]


class Tenant(RedisChannelLayer):
    def __init__(self, tenant: str, **options: Unpack[RedisOptions]) -> None:
        super().__init__(**options)
        self.prefix_of_tenant = f"{tenant}:{self.prefix}"


class Untyped(RedisChannelLayer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


settings: dict[str, Any] = {"capacity": 5}
layers = [
    Painted(colour="red", expiry=5),
    Tenant("one", capacity=7),
    Untyped(capacity=7),
    RedisChannelLayer(**settings),
]
colour: str = Painted().colour
