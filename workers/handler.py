"""
Django's views as the consumer of ``http.request``.

The names are those of ``channels.handler`` in Channels 1.1.8.
Requests, URLs, middleware and views are those of Django's own classes, in their synchronous mode.
"""

from __future__ import annotations

import functools
import io
import logging
import traceback
from collections.abc import Iterator
from typing import Any, Callable

from workers.asgi import adapted
from workers.exceptions import RequestAborted, RequestTimeout, ResponseLater
from workers.loops.iteration import iterate
from workers.message import Message
from workers.runtime.body_stream import BodyStream
from workers.runtime.response_sender import ResponseSender

try:
    from asgiref.sync import async_to_sync, iscoroutinefunction
    from django.conf import settings
    from django.core import signals
    from django.core.handlers.asgi import ASGIRequest
    from django.core.handlers.base import BaseHandler
    from django.http import FileResponse, HttpResponse, HttpResponseBadRequest
    from django.http.response import HttpResponseBase
    from django.urls import set_script_prefix
except ImportError as error:
    raise ImportError(f'views need Django: pip install "asgi_redis[django]" ({error})') from error

logger = logging.getLogger("django.request")

View = Callable[..., Any]
Reply = dict[str, Any]

AHEAD_BYTES = 512 * 1024  # the most of a body that is received before the view is called
CHUNK_BYTES = 128 * 1024
SILENCE_SECONDS = 5.0
_NOT_IN_SCOPE = {"reply_channel", "body", "body_channel", "ack_channel", "window"}  # which ASGI 3 does not know


class AsgiRequest(ASGIRequest):
    """
    A Django request, made of a message on ``http.request``.

    A body of up to 512 KiB is received at once. The rest of a larger one is received as the view reads it, and
    Django's upload handlers put large files on the disk. While it is read, a client that goes away and a part that
    does not come raise Django's ``UnreadablePostError``.

    Attributes:
        message: The message.
        reply_channel: Its reply channel.
        body_receive_timeout: Seconds to wait for each part of the body.

    Raises:
        RequestTimeout: The body does not come.
        RequestAborted: The client has gone.
        UnicodeDecodeError: The path or the query is no UTF-8.
    """

    ResponseLater = ResponseLater

    body_receive_timeout = 60

    def __init__(self, message: Message) -> None:
        self.message = message
        self.reply_channel = message.reply_channel
        self.answers_later = False
        """Whether the view has raised ``ResponseLater``."""
        self.received_body: BodyStream | None = None
        """The source of a body that does not fit into the message."""
        body: Any = io.BytesIO(message.get("body") or b"")
        channel = message.get("body_channel")
        if channel:
            self.received_body = BodyStream(
                body.getvalue(), channel, adapted(message.channel_layer), self.body_receive_timeout
            )
            body = io.BufferedReader(self.received_body, CHUNK_BYTES)
        super().__init__(_scope_of(message), body)
        if self.received_body is not None:
            self.received_body.receive_ahead(AHEAD_BYTES)


class AsgiHandler(BaseHandler):
    """
    Calls the view for a request, and makes messages of its response.

    Attributes:
        request_class: The class of requests.
        chunk_size: The most bytes of a response in one message.
    """

    request_class = AsgiRequest
    chunk_size = CHUNK_BYTES

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def __call__(self, message: Message) -> Iterator[Reply]:
        """
        Yield the messages of the response to a request.

        There are none when the view leaves the response to another consumer, or the client has gone.

        Raises:
            BaseException: Django's handling of errors has failed, the response cannot be sent, or the view has raised
                ``SystemExit``; a response with status 500 was yielded before, where none had begun.
        """
        begun = False
        try:
            response = self._respond(message)
            if response is None:
                return
            try:
                for reply in self._encode(response, message):
                    yield reply
                    begun = True
            finally:
                response.close()
        except GeneratorExit:  # the rest of the response is not wanted
            raise
        except BaseException:  # also SystemExit, after which the worker goes on
            yield {"closed": True} if begun else _failure()
            raise

    def _respond(self, message: Message) -> HttpResponseBase | None:
        """Return the response, or None for no answer."""
        set_script_prefix(_script_name(message))
        signals.request_started.send(sender=self.__class__, message=message)
        try:
            request = self.request_class(message)
        except UnicodeDecodeError as error:
            logger.warning("Bad Request (UnicodeDecodeError)", exc_info=error, extra={"status_code": 400})
            return HttpResponseBadRequest()
        except RequestTimeout:
            return HttpResponse("408 Request Timeout: the body did not come", status=408)
        except RequestAborted:
            return None
        response: HttpResponseBase = self.get_response(request)
        lacking = request.received_body.error if request.received_body is not None else None
        if request.answers_later or isinstance(lacking, RequestAborted):
            response.close()
            return None
        if isinstance(lacking, RequestTimeout) and response.status_code >= 500:
            response.close()
            return HttpResponse("408 Request Timeout: the body did not come", status=408)
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return response

    def _encode(self, response: HttpResponseBase, message: Message) -> Iterator[Reply]:
        if message["method"].upper() == "HEAD":
            yield {**_head(response), "content": b"", "more_content": False}
        else:
            yield from self.encode_response(response)

    def make_view_atomic(self, view: View) -> View:
        """Return a view that commits where it raises ``ResponseLater``."""
        if iscoroutinefunction(view):
            # Django refuses ATOMIC_REQUESTS, and would not see that the wrapped view is a coroutine function.
            coroutine_function: Any = super().make_view_atomic(view)
            return _answering_later(async_to_sync(coroutine_function))
        atomic: View = super().make_view_atomic(_answering_later(view))
        return atomic

    @classmethod
    def encode_response(cls, response: Any) -> Iterator[Reply]:
        """
        Yield the messages of a response, for the reply channel of a request.

        A streaming response has a message for each part, and an empty one at the end. Its iterator may be
        asynchronous: then there is an empty message before the first part, and after each five seconds without any,
        so that the client's leaving is noticed. Does not close the response.
        """
        message = _head(response)
        if not response.streaming:
            for chunk, last in cls.chunk_bytes(response.content):
                yield {**message, "content": chunk, "more_content": not last}
                message = {}
            return
        parts: Any = response
        if getattr(response, "is_async", False):
            yield {**message, "content": b"", "more_content": True}  # the first part may take long
            message = {}
            parts = (part or b"" for part in iterate(response, SILENCE_SECONDS))
        for part in parts:
            for chunk, _ in cls.chunk_bytes(part):
                yield {**message, "content": chunk, "more_content": True}
                message = {}
        yield {**message, "content": b"", "more_content": False}

    @classmethod
    def chunk_bytes(cls, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield ``data`` in chunks of ``chunk_size``, each with whether it is the last."""
        yield data[: cls.chunk_size], len(data) <= cls.chunk_size
        for begin in range(cls.chunk_size, len(data), cls.chunk_size):
            yield data[begin : begin + cls.chunk_size], begin + cls.chunk_size >= len(data)


class ViewConsumer:
    """
    The consumer of ``http.request`` that calls Django's views.

    The response is sent at once, and not together with the messages that the view sends.

    Attributes:
        handler_class: The class of the handler, of which each consumer has one.
    """

    handler_class: type[AsgiHandler] = AsgiHandler

    def __init__(self) -> None:
        self.handler = self.handler_class()

    def __call__(self, message: Message) -> None:
        """Answer a request."""
        sender = ResponseSender(message)
        replies: Any = self.handler(message)
        try:
            for reply in replies:
                if not sender.send(reply):
                    break
        finally:
            replies.close()


def _script_name(message: Message) -> str:
    return settings.FORCE_SCRIPT_NAME or message.get("root_path") or ""


def _scope_of(message: Message) -> dict[str, Any]:
    """Return the message as a scope of ASGI 3."""
    content = message.content
    scope = {key: content[key] for key in content if key not in _NOT_IN_SCOPE}
    scope["type"] = "http"
    scope["root_path"] = _script_name(message)  # Django 4.2 looks nowhere else
    path, headers = scope["path"], scope.get("headers")
    if isinstance(path, bytes):
        scope["path"] = path.decode("utf-8")
    if isinstance(headers, dict):  # as in early versions of ASGI 1, and in tests of that time
        scope["headers"] = [(name.encode("latin-1"), value) for name, value in headers.items()]
    return scope


def _answering_later(view: View) -> View:
    @functools.wraps(view)
    def inner(request: AsgiRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(request, *args, **kwargs)
        except ResponseLater:
            request.answers_later = True
            return HttpResponse()

    return inner


def _head(response: HttpResponseBase) -> Reply:
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    headers += [(b"Set-Cookie", cookie.OutputString().encode("ascii")) for cookie in response.cookies.values()]
    return {"status": response.status_code, "headers": headers}


def _failure() -> Reply:
    """Return a response for the exception that is being handled."""
    text = traceback.format_exc() if settings.DEBUG else "Internal Server Error"
    response = HttpResponse(text, status=500, content_type="text/plain; charset=utf-8")
    return {**_head(response), "content": response.content, "more_content": False}
