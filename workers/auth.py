"""Users for consumers, as in ``channels.auth`` of Channels 1.1.8."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any, Callable

from workers.message import Message
from workers.sessions import Consumer, channel_and_http_session, channel_session, http_session, plain

try:
    from django.contrib import auth
except ImportError as error:
    raise ImportError(f'users need Django: pip install "asgi_redis[django]" ({error})') from error

_KEYS = (auth.BACKEND_SESSION_KEY, auth.SESSION_KEY, auth.HASH_SESSION_KEY)


def transfer_user(from_session: Any, to_session: Any) -> None:
    """Log the user of one session in to the other; do nothing when there is none."""
    if all(key in from_session for key in _KEYS):
        for key in _KEYS:
            to_session[key] = from_session[key]


def channel_session_user(func: Consumer) -> Consumer:
    """Give the consumer ``message.channel_session``, and its user as ``message.user``."""
    func = plain(func)

    @channel_session
    @functools.wraps(func)
    def inner(message: Message, *args: Any, **kwargs: Any) -> Any:
        message.user = _user_of(message.channel_session)
        return func(message, *args, **kwargs)

    return inner  # type: ignore[return-value]  # wraps() does not say that it has the same signature


def http_session_user(func: Consumer) -> Consumer:
    """
    Give the consumer ``message.http_session``, and its user as ``message.user``.

    Without a session the user is anonymous.
    """
    func = plain(func)

    @http_session
    @functools.wraps(func)
    def inner(message: Message, *args: Any, **kwargs: Any) -> Any:
        message.user = _user_of(message.http_session)
        return func(message, *args, **kwargs)

    return inner  # type: ignore[return-value]  # as above


def channel_session_user_from_http(func: Consumer) -> Consumer:
    """
    Log the user of the HTTP session in to the channel session, too.

    Otherwise like ``http_session_user``; for ``websocket.connect``.
    """
    return _from_http(func, channel_session)


def channel_and_http_session_user_from_http(func: Consumer) -> Consumer:
    """Like ``channel_session_user_from_http``; later messages get the session, too."""
    return _from_http(func, channel_and_http_session)


def _from_http(func: Consumer, with_channel_session: Callable[[Consumer], Consumer]) -> Consumer:
    func = plain(func)

    @functools.wraps(func)
    def inner(message: Message, *args: Any, **kwargs: Any) -> Any:
        if message.http_session is not None:
            transfer_user(message.http_session, message.channel_session)
        return func(message, *args, **kwargs)

    return http_session_user(with_channel_session(inner))  # type: ignore[arg-type]  # as above


def _user_of(session: Any) -> Any:
    if session is None:
        from django.contrib.auth.models import AnonymousUser  # models may be imported once Django is set up

        return AnonymousUser()
    request: Any = SimpleNamespace(session=session)  # the only attribute that is used
    # When the hash of the user's password was made with one of SECRET_KEY_FALLBACKS, Django gives the session another
    # key. A channel session is found by its reply channel, that of a browser by a cookie, which no consumer can set:
    # both would be lost.
    session.cycle_key = lambda: None
    try:
        return auth.get_user(request)
    finally:
        del session.cycle_key
