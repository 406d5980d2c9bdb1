"""
Sessions for consumers, as in ``channels.sessions`` of Channels 1.1.8.

A channel session belongs to a reply channel, so to one client for as long as it is connected. When two messages of a
client are handled at the same time, each saves its own changes only, so that neither undoes those of the other.
The consumers are plain functions: Django's sessions cannot be used in an event loop.

The only file that uses a private part of Django: ``_session_key``. It is over 300 lines: the order of messages is
kept in the sessions, with the same steps to load and save them.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import inspect
import time
from importlib import import_module
from typing import Any, Callable, TypeVar, overload

try:
    from django.conf import settings
    from django.contrib.sessions.backends import signed_cookies
    from django.contrib.sessions.backends.base import CreateError
    from django.http import QueryDict, parse_cookie
except ImportError as error:
    raise ImportError(f'sessions need Django: pip install "asgi_redis[django]" ({error})') from error

from redis.exceptions import RedisError

from workers.channel import OUTAGE_SECONDS, Channel, pending_message_store, send_persistently
from workers.exceptions import ConsumeLater
from workers.message import Message
from workers.utils import name_that_thing

Consumer = TypeVar("Consumer", bound=Callable[..., Any])

NEXT_ORDER = "__channels_next_order"
MAX_EARLY = 100  # messages of a client that wait for their turn
STANDSTILL_SECONDS = 2.0  # after which waiting messages count as stuck
POLL_SECONDS = 0.25
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
    key = _session_key(reply_channel)
    session = engine.SessionStore(session_key=key)
    session.channels_loaded = copy.deepcopy(dict(session.items()))
    session._session_key = key  # no public way: a session that does not exist loses its key when it is loaded
    return session


def _session_key(reply_channel: str) -> str:
    # That of Channels 1, so that both find the same sessions; it keeps no secret.
    return f"chn{hashlib.sha1(reply_channel.encode('utf8'), usedforsecurity=False).hexdigest()[:29]}"


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
        # One whose turn is over has its number twice: the interface was not sure whether Redis had the first.
        if order <= session.get(NEXT_ORDER, 0):
            try:
                func(message, *args, **kwargs)
            except ConsumeLater:  # its turn is still to come
                raise
            except BaseException:  # not only of faults: a consumer may refuse or close the websocket by one
                _end_turn(message, order)
                raise
            _end_turn(message, order)
            return
        _wait(message, order, session.get(NEXT_ORDER, 0))
        # The message before may have been done after this one had loaded the session and before it waited.
        if order == session.load().get(NEXT_ORDER, 0):
            _call_next(message, order)

    return inner  # type: ignore[return-value]  # as above


def _end_turn(message: Message, order: int) -> None:
    # Before another worker may begin with the next message: its answers must not overtake these.
    pending_message_store.send_collected()
    session = message.channel_session
    session[NEXT_ORDER] = next_order = max(session.get(NEXT_ORDER, 0), order + 1)
    _save(session, message)
    session.modified = False
    _call_next(message, next_order)


def _call_next(message: Message, order: int) -> None:
    """
    Let the message with ``order`` of a client come, if it waits.

    The worker runs it after this one. Where no worker runs this one, all messages of the client that wait go back to
    their channels.
    """
    if message.then is None:
        requeue_messages(message)
        return
    turn, deadline = _turn_channel_name(message, order), time.monotonic() + OUTAGE_SECONDS
    while True:
        try:
            _, content = message.channel_layer.receive([turn], block=False)
            break
        except RedisError:
            # Also where Redis may have taken it, and it is lost: another receive finds nothing then.
            if time.monotonic() >= deadline:
                raise
            time.sleep(POLL_SECONDS)
    if content is not None:
        message.then.append((content.pop("original_channel"), content))


def _wait(message: Message, order: int, next_order: int) -> None:
    """
    Let a message wait for its turn.

    While too many messages of the client wait, it holds the slot, as long as they are being worked off: frames
    that come too fast then stay in the channel, and in the end with the client. Raises the layer's ``ChannelFull``.
    """
    name = _reply_channel_name(message)
    layer = message.channel_layer
    content = {**message.received, "original_channel": message.channel.name}
    if message.then is not None:
        deadline = time.monotonic() + STANDSTILL_SECONDS
        while order - next_order > MAX_EARLY and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            latest = session_for_reply_channel(name).get(NEXT_ORDER, 0)
            if latest != next_order:
                next_order, deadline = latest, time.monotonic() + STANDSTILL_SECONDS
        if order - next_order <= MAX_EARLY:
            turn = Channel(_turn_channel_name(message, order), channel_layer=layer)
            send_persistently(turn, content, time.monotonic())
            return
    else:
        with contextlib.suppress(layer.ChannelFull):
            layer.send(wait_channel_name(name), content)
            return
    raise layer.ChannelFull(f"too many messages of {name} wait for their turn")


def _turn_channel_name(message: Message, order: int) -> str:
    return f"__wait__?{_session_key(_reply_channel_name(message))}.{order}"


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
    if not session.channels_loaded and not session.exists(session.session_key):  # with content, it exists
        try:
            session.save(must_create=True)
        except CreateError:
            raise ConsumeLater from None
    return session


def _save(session: Any, message: Message) -> None:
    """Save the changes to a session on top of the changes of others."""
    if message.reply_channel is not None:  # a test may set a session without one
        _merge(session, session_for_reply_channel(message.reply_channel.name))
    session.save()


def _merge(session: Any, stored: Any) -> None:
    """Add the changes of others to a session, unless it is another one."""
    if stored.session_key != session.session_key:
        return
    before, now, merged = session.channels_loaded, dict(session.items()), dict(stored.items())
    for key in {*before, *now}:
        if key not in now:
            merged.pop(key, None)
        elif before.get(key, _MISSING) != now[key]:
            merged[key] = now[key]
    session.clear()
    session.update(merged)
    session.channels_loaded = copy.deepcopy(merged)


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
