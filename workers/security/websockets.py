"""
Decorators that check the origin of a websocket.

A browser lets the pages of any site connect, with the cookies of the user. It sends the page's site in the header
``Origin``, and leaves the check to the server.
"""

from __future__ import annotations

import functools
from typing import Any, Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

from workers.exceptions import DenyConnection
from workers.message import Message

HOSTS_IN_DEBUG = [".localhost", "127.0.0.1", "[::1]"]  # those of Django, where ALLOWED_HOSTS is empty


class BaseOriginValidator:
    """
    The base of decorators for consumers of ``websocket.connect``.

    A client whose origin is missing or not ASCII is refused with ``DenyConnection``. For others
    ``validate_origin``, which subclasses define, decides.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        functools.update_wrapper(self, func)
        self.func = func

    def __call__(self, message: Message, *args: Any, **kwargs: Any) -> Any:
        """Call the consumer, or raise ``DenyConnection``."""
        if not self.validate_origin(message, self.get_origin(message)):
            raise DenyConnection
        return self.func(message, *args, **kwargs)

    def get_header(self, message: Message, name: bytes) -> list[bytes]:
        """
        Return the value of a request header, in a list.

        Args:
            message: The message of a client that connects.
            name: The name of the header, in lower case.

        Raises:
            KeyError: The client sent no such header.
        """
        for header in message.get("headers", ()):
            if header and header[0] == name:
                return list(header[1:])
        raise KeyError(f"no header {name!r}")

    def get_origin(self, message: Message) -> str:
        """Return the origin that the client names, or raise ``DenyConnection``."""
        try:
            return self.get_header(message, b"origin")[0].decode("ascii")
        except (LookupError, UnicodeDecodeError):
            raise DenyConnection from None

    def validate_origin(self, message: Message, origin: str) -> bool:
        """Return whether a client of this origin may connect."""
        raise NotImplementedError(f"{type(self).__qualname__} has no method validate_origin")


class AllowedHostsOnlyOriginValidator(BaseOriginValidator):
    """
    Accepts clients from the hosts in ``ALLOWED_HOSTS`` only, on any port.

    In ``DEBUG``, when it is empty, from this machine only, as Django does with requests.
    """

    def validate_origin(self, message: Message, origin: str) -> bool:
        """Return whether the host of the origin is allowed."""
        allowed = settings.ALLOWED_HOSTS
        if settings.DEBUG and not allowed:
            allowed = HOSTS_IN_DEBUG
        try:
            host = urlsplit(origin).hostname or ""
        except ValueError:  # such as http://[
            return False
        if ":" in host:
            host = f"[{host}]"  # an IPv6 address, as it is written in ALLOWED_HOSTS
        return bool(host) and validate_host(host, allowed)


allowed_hosts_only = AllowedHostsOnlyOriginValidator
