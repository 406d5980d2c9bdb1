"""The identity of this process towards others: its role, host and number."""

from __future__ import annotations

import os
import re
import socket

_role = "client"

_MAX_HOST = 40  # characters of a host's name


def set_role(role: str) -> None:
    """Set the role of this process, such as worker, in place of client."""
    global _role
    _role = role


def host_name() -> str:
    """Return the name of this machine in characters of a group name."""
    return re.sub(r"[^a-zA-Z0-9\-_.]", "-", socket.gethostname())[:_MAX_HOST] or "localhost"


def client_name() -> str:
    """Return the name that connections have in ``CLIENT LIST``."""
    return f"asgi-redis:{_role}:{host_name()}:{os.getpid()}"
