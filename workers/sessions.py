"""
Sessions for consumers, as in ``channels.sessions`` of Channels 1.1.8.

A channel session belongs to a reply channel, so to one client for as long as it is connected. When two messages of a
client are handled at the same time, each saves its own changes only, so that neither undoes those of the other.
The consumers are plain functions: Django's sessions cannot be used in an event loop.

The only file that uses a private part of Django: ``_session_key``.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
from importlib import import_module
from typing import Any, Callable, TypeVar, overload

try:
    from django.conf import settings
    from django.contrib.sessions.backends import signed_cookies
    from django.contrib.sessions.backends.base import CreateError
    from django.http import QueryDict, parse_cookie
except ImportError as error:
    raise ImportError(f'sessions need Django: pip install "asgi_redis[django]" ({error})') from error

from workers.exceptions import ConsumeLater
from workers.message import Message
from workers.utils import name_that_thing

Consumer = TypeVar("Consumer", bound=Callable[..., Any])

NEXT_ORDER = "__channels_next_order"
_MISSING = object()


def plain(func: Consumer) -> Consumer:
    """
    Return a function that calls ``func``, which must not be ``async def``.

    Raises ``TypeError`` if it is: at once, or when a call returns a coroutine.
    """
    if inspect.iscoroutinefunction(func):
        raise _refusal(name_that_thing(func))

    @functools.wraps(func)
    def inner(*args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if inspect.iscoroutine(result):
            result.close()
            raise _refusal(result.__qualname__)
        return result

    return inner  # type: ignore[return-value]  # wraps() does not say that it has the same signature


def session_for_reply_channel(reply_channel: str) -> Any:
    """
    Return the session of a reply channel, loaded.

    Its engine is ``CHANNEL_SESSION_ENGINE`` of the settings, or ``SESSION_ENGINE``. Raises ``ValueError`` for that of
    signed cookies, which a consumer cannot set.
    """
    engine = import_module(getattr(settings, "CHANNEL_SESSION_ENGINE", settings.SESSION_ENGINE))
    if engine is signed_cookies:
        raise ValueError("channel sessions cannot be kept in signed cookies: set CHANNEL_SESSION_ENGINE to another")
    # The key is that of Channels 1, so that both find the same sessions; it keeps no secret.
    hashed = hashlib.sha1(reply_channel.encode("utf8"), usedforsecurity=False).hexdigest()
    key = f"chn{hashed[:29]}"
    session = engine.SessionStore(session_key=key)
    session.channels_loaded = copy.deepcopy(dict(session.items()))
    session._session_key = key  # no public way: a session that does not exist loses its key when it is loaded
    return session


def channel_session(func: Consumer) -> Consumer:
    """
    Give the consumer ``message.channel_session``, which is like a dict.

    It is saved after the consumer if it changed. The consumer raises ``ValueError`` for a message that has no reply
    channel.
    """
    func = plain(func)

    @functools.wraps(func)
    def inner(*args: Any, **kwargs: Any) -> Any:
        # First or, for a method that was decorated in its class, second.
        message = next((argument for argument in args[:2] if isinstance(argument, Message)), None)
        if message is None:
            raise ValueError("channel_session called without Message instance as its first or second argument")
        if "channel_session" not in vars(message):
            message.channel_session = _existing_session(message)
        try:
            return func(*args, **kwargs)
        finally:
            session = message.channel_session
            if session.modified and not session.is_empty():
                _save(session, message)

    return inner  # type: ignore[return-value]  # as above


def wait_channel_name(reply_channel: str) -> str:
    """Return the name of the channel where messages of a client wait for their turn."""
    return f"__wait__.{reply_channel.replace('!', '?')}"


def requeue_messages(message: Message) -> None:
    """
    Send all messages that wait for their turn to the channels that they came from.

    Raises the layer's ``ChannelFull`` when one of them is full.
    """
    layer = message.channel_layer
    wait_channel = wait_channel_name(_reply_channel_name(message))
    while True:
        _, content = layer.receive([wait_channel], block=False)
        if content is None:
            return
        original = content.pop("original_channel")
        try:
            layer.send(original, content)
        except layer.ChannelFull:
            raise layer.ChannelFull(f"a message waited for its turn, and its channel {original} is full") from None


@overload
def enforce_ordering(func: Consumer) -> Consumer: ...
@overload
def enforce_ordering(func: None = None, slight: bool = False) -> Callable[[Consumer], Consumer]: ...
def enforce_ordering(func: Consumer | None = None, slight: bool = False) -> Consumer | Callable[[Consumer], Consumer]:
    """
    Call the consumer with the messages of a client by their ``order``.

    A message that comes early waits in another channel until its turn. The consumer raises ``ValueError`` for a
    message without an order, and ``enforce_ordering`` where ``slight`` is true.
    """
    if slight:
        raise ValueError("messages are always in slight order: remove slight=True")
    return _ordered if func is None else _ordered(func)


def _ordered(func: Consumer) -> Consumer:
    func = plain(func)

    @channel_session
    @functools.wraps(func)
    def inner(message: Message, *args: Any, **kwargs: Any) -> None:
        if "order" not in message.content:
            raise ValueError(f"a message on channel {message.channel} has no order to enforce")
        order = int(message.content["order"])
        session = message.channel_session
        if order == session.get(NEXT_ORDER, 0):
            func(message, *args, **kwargs)
            session[NEXT_ORDER] = order + 1
            _save(session, message)
            session.modified = False
            requeue_messages(message)
            return
        layer = message.channel_layer
        name = _reply_channel_name(message)
        message.content["original_channel"] = message.channel.name
        try:
            layer.send(wait_channel_name(name), message.content)
        except layer.ChannelFull:
            raise layer.ChannelFull(f"too many messages of {name} wait for their turn") from None
        # The message before may have been done after this one had loaded the session and before it waited.
        if order == session.load().get(NEXT_ORDER, 0):
            requeue_messages(message)

    return inner  # type: ignore[return-value]  # as above


def http_session(func: Consumer) -> Consumer:
    """
    Give the consumer ``message.http_session``, the session of the browser, or None.

    Its key comes from ``session_key`` in the query string, or from the session cookie. It is saved after the consumer
    if it changed and the consumer raised nothing. The consumer raises ``ValueError`` for a message that is no HTTP
    request.
    """
    func = plain(func)

    @functools.wraps(func)
    def inner(message: Message, *args: Any, **kwargs: Any) -> Any:
        if "http_session" in vars(message):
            try:
                return func(message, *args, **kwargs)
            finally:
                if message.http_session is not None and message.http_session.modified:
                    message.http_session.save()
        key = _http_session_key(message)
        message.http_session = session = _http_session(key) if key else None
        result = func(message, *args, **kwargs)
        if session is not None and session.modified:
            session.save()
        return result

    return inner  # type: ignore[return-value]  # as above


def channel_and_http_session(func: Consumer) -> Consumer:
    """
    Give the consumer both sessions, and later messages that of the connect.

    The channel session remembers the key of the HTTP session.
    """
    func = plain(func)

    @http_session
    @channel_session
    @functools.wraps(func)
    def inner(message: Message, *args: Any, **kwargs: Any) -> Any:
        name = settings.SESSION_COOKIE_NAME
        if message.http_session is not None and name not in message.channel_session:
            message.channel_session[name] = message.http_session.session_key
        elif message.http_session is None and name in message.channel_session:
            message.http_session = _http_session(message.channel_session[name])
        return func(message, *args, **kwargs)

    return inner  # type: ignore[return-value]  # as above


def _existing_session(message: Message) -> Any:
    """Return the session of a client. Raises ``ConsumeLater`` while others create it."""
    session = session_for_reply_channel(_reply_channel_name(message))
    if not session.exists(session.session_key):
        try:
            session.save(must_create=True)
        except CreateError:
            raise ConsumeLater from None
    return session


def _save(session: Any, message: Message) -> None:
    """Save the changes to a session on top of the changes of others."""
    stored = session_for_reply_channel(_reply_channel_name(message))
    if stored.session_key == session.session_key:
        before, now, merged = session.channels_loaded, dict(session.items()), dict(stored.items())
        for key in {*before, *now}:
            if key not in now:
                merged.pop(key, None)
            elif before.get(key, _MISSING) != now[key]:
                merged[key] = now[key]
        session.clear()
        session.update(merged)
        session.channels_loaded = copy.deepcopy(merged)
    session.save()


def _reply_channel_name(message: Message) -> str:
    if message.reply_channel is None:
        raise ValueError(f"a message on channel {message.channel} has no reply_channel to keep a session for")
    return message.reply_channel.name


def _http_session(key: str) -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore(session_key=key)


def _http_session_key(message: Message) -> str | None:
    if "path" not in message:
        raise ValueError(f"a message on channel {message.channel} is no HTTP request: it has no path")
    query = message.get("query_string", "")
    key: str | None = QueryDict(_text(query, "utf-8")).get("session_key")
    if key is not None:
        return key
    headers = message.get("headers", [])
    pairs = headers.items() if isinstance(headers, dict) else headers
    cookies = ";".join(_text(value, "latin-1") for name, value in pairs if _text(name, "latin-1").lower() == "cookie")
    found: str | None = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME)
    return found


def _text(value: Any, encoding: str) -> str:
    return value.decode(encoding) if isinstance(value, bytes) else str(value)


def _refusal(name: str) -> TypeError:
    return TypeError(f"{name} is async def: Django's sessions need a consumer that is not")
