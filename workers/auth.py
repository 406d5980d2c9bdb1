"""Users for consumers: the decorators of Channels 1.1.8's ``channels.auth``. They need Django."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

from workers.sessions import Consumer, channel_and_http_session, channel_session, http_session, plain

try:
    from django.contrib import auth
except ImportError as error:
    raise ImportError(f'users need Django: pip install "asgi_redis[django]" ({error})') from error

_KEYS = (auth.BACKEND_SESSION_KEY, auth.SESSION_KEY, auth.HASH_SESSION_KEY)


def transfer_user(from_session: Any, to_session: Any) -> None:
    """Logs the user of one session in to the other; does nothing when there is none."""
    if all(key in from_session for key in _KEYS):
        for key in _KEYS:
            to_session[key] = from_session[key]


def channel_session_user(func: Consumer) -> Consumer:
    """Gives the consumer ``message.user``, from ``message.channel_session``, which it provides, too."""
    func = plain(func)

    @channel_session
    @functools.wraps(func)
    def inner(message: Any, *args: Any, **kwargs: Any) -> Any:
        message.user = _user_of(message.channel_session)
        return func(message, *args, **kwargs)

    return inner  # type: ignore[return-value]  # wraps() does not say that it has the same signature


def http_session_user(func: Consumer) -> Consumer:
    """
    Gives the consumer ``message.user``, from ``message.http_session``, which it provides, too.

    Where there is no session the user is anonymous.
    """
    func = plain(func)

    @http_session
    @functools.wraps(func)
    def inner(message: Any, *args: Any, **kwargs: Any) -> Any:
        message.user = _user_of(message.http_session)
        return func(message, *args, **kwargs)

    return inner  # type: ignore[return-value]  # as above


def channel_session_user_from_http(func: Consumer) -> Consumer:
    """Like ``http_session_user``, and logs the user in to the channel session: for ``websocket.connect``."""
    func = plain(func)

    @http_session_user
    @channel_session
    @functools.wraps(func)
    def inner(message: Any, *args: Any, **kwargs: Any) -> Any:
        if message.http_session is not None:
            transfer_user(message.http_session, message.channel_session)
        return func(message, *args, **kwargs)

    return inner  # type: ignore[return-value]  # as above


def channel_and_http_session_user_from_http(func: Consumer) -> Consumer:
    """Like ``channel_session_user_from_http``, with the HTTP session also on later messages of the client."""
    func = plain(func)

    @http_session_user
    @channel_and_http_session
    @functools.wraps(func)
    def inner(message: Any, *args: Any, **kwargs: Any) -> Any:
        if message.http_session is not None:
            transfer_user(message.http_session, message.channel_session)
        return func(message, *args, **kwargs)

    return inner  # type: ignore[return-value]  # as above


def _user_of(session: Any) -> Any:
    if session is None:
        from django.contrib.auth.models import AnonymousUser  # models may be imported once Django is set up

        return AnonymousUser()
    request: Any = SimpleNamespace(session=session)  # all that it looks at
    # Where it knows the user by one of SECRET_KEY_FALLBACKS, it gives the session another key. A channel session is
    # found by its reply channel, that of a browser by a cookie, which no consumer can set: under another key both
    # would be lost.
    session.cycle_key = lambda: None
    try:
        return auth.get_user(request)
    finally:
        del session.cycle_key
