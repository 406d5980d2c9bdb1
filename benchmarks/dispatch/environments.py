"""The virtual environments of the workers."""

from __future__ import annotations

import json
import subprocess

from ..environments import LIST, REQUIREMENTS, Environments

_FOR_ALL = ("hiredis", "gevent")  # the fast parser, and greenlets
_PACKAGES = {
    "ours": ("redis", "msgpack"),
    "dramatiq": ("dramatiq[redis]",),
    "huey": ("huey", "redis"),
    "celery": ("celery[redis]",),
    "rq": ("rq",),
    "channels": ("channels==4.3.2", "channels_redis==4.3.0"),
}
_SHOWN = (
    *("celery", "channels", "channels-redis", "Django", "dramatiq", "huey", "kombu", "rq"),
    *("gevent", "hiredis", "msgpack", "redis"),
)
REQUIREMENTS.update({f"dispatch_{name}": (*packages, *_FOR_ALL) for name, packages in _PACKAGES.items()})


class DispatchEnvironments(Environments):
    """The environments of the workers, which differ in the packages that matter."""

    def versions(self, name: str) -> str:
        """Return the installed versions of the packages that matter."""
        said = subprocess.run([self.python[name], "-I", "-c", LIST], capture_output=True, text=True, check=True)
        found = {key.lower().replace("_", "-"): version for key, version in json.loads(said.stdout).items()}
        return ", ".join(f"{package} {found[package.lower()]}" for package in _SHOWN if package.lower() in found)
