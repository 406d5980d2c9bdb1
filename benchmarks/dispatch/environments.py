"""The virtual environments of the workers."""

from __future__ import annotations

from ..environments import REQUIREMENTS, Environments

_FOR_ALL = ("hiredis", "gevent")  # the fast parser, and greenlets
_PACKAGES = {
    "ours": ("redis", "msgpack"),
    "dramatiq": ("dramatiq[redis]",),
    "huey": ("huey", "redis"),
    "celery": ("celery[redis]",),
    "rq": ("rq",),
    "bare": (),
    "channels": ("channels==4.3.2", "channels_redis==4.3.0"),
}
REQUIREMENTS.update({f"dispatch_{name}": (*packages, *_FOR_ALL) for name, packages in _PACKAGES.items()})


class DispatchEnvironments(Environments):
    """The environments of the workers, which differ in the packages that matter."""

    shown = (
        *("celery", "channels", "channels_redis", "Django", "dramatiq", "huey", "kombu", "rq"),
        *("gevent", "hiredis", "msgpack", "redis"),
    )
