"""A client with a session, cookies and headers, for consumers of websockets."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any

from django.apps import apps
from django.conf import settings

from workers.asgi import DEFAULT_CHANNEL_LAYER
from workers.sessions import session_for_reply_channel
from workers.test.base import NO_CONTENT, Client


class WSClient(Client):
    """
    A client of websockets.

    The first message has the cookie of the session, as that of a browser does.

    Args:
        alias: The layer that it uses.
        ordered: Whether each message gets the next ``order``.
    """

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER, ordered: bool = False) -> None:
        super().__init__(alias)
        self.order = 0
        self._ordered = ordered
        self._session: Any = None
        self._sends_session_cookie = True
        self._cookies: dict[str, Any] = {}
        self._headers: dict[str, Any] = {}

    def set_cookie(self, key: str, value: Any) -> None:
        """Send a cookie from now on."""
        self._cookies[key] = value

    def set_header(self, key: str, value: Any) -> None:
        """Send a header from now on. Raises ``ValueError`` for cookies."""
        if key == "cookie":
            raise ValueError("set cookies with set_cookie")
        self._headers[key] = value

    def get_cookies(self) -> dict[str, Any]:
        """Return the cookies of the next message."""
        session = {}
        if self._sends_session_cookie and apps.is_installed("django.contrib.sessions"):
            session[settings.SESSION_COOKIE_NAME] = self.session.session_key
        return {**self._cookies, **session}

    @property
    def headers(self) -> dict[str, Any]:
        """The headers of the next message."""
        cookies: SimpleCookie = SimpleCookie(self.get_cookies())
        return {"cookie": cookies.output(header="", sep=";").encode("ascii"), **self._headers}

    @property
    def session(self) -> Any:
        """The session of the client. Needs ``django.contrib.sessions``."""
        if not apps.is_installed("django.contrib.sessions"):
            raise OSError("a session needs django.contrib.sessions in INSTALLED_APPS")
        if self._session is None:
            self._session = session_for_reply_channel(self.reply_channel)
        return self._session

    def receive(self, json: bool = True) -> Any:
        """
        Return the text of the next message to the client, or None.

        The content itself where it has no text. If ``json`` is true, the text is decoded.
        """
        content = super().receive()
        if content is None or "text" not in content:
            return content
        text = content["text"]
        return json_module.loads(text) if json and isinstance(text, str) else text

    def send(self, to: str, content: Mapping[str, Any] = NO_CONTENT, text: Any = None, path: str = "/") -> None:
        """
        Send a message to a channel, as one from this client.

        Args:
            to: The channel.
            content: Further keys of the message, which come first.
            text: The text of the frame, or a value to send as JSON.
            path: The path of the websocket. Its query string is sent on ``websocket.connect`` only.
        """
        if to != "websocket.connect":
            path = path.partition("?")[0]
        self.channel_layer.send(to, self._get_content(content, text, path))
        self._sends_session_cookie = False

    def consume(self, channel: str, fail_on_none: bool = True, check_accept: bool = True) -> Any:
        """
        Run the consumer of the next message on a channel; otherwise as a ``Client``.

        Raises:
            AssertionError: A connect was not accepted; unless ``check_accept`` is false.
        """
        result = super().consume(channel, fail_on_none=fail_on_none)
        if channel == "websocket.connect" and check_accept:
            received = self.receive(json=False)
            if received != {"accept": True}:
                raise AssertionError(f"the connection was not accepted; the first answer is {received!r}")
        return result

    def send_and_consume(  # type: ignore[override]  # as in Channels 1
        self,
        channel: str,
        content: Mapping[str, Any] = NO_CONTENT,
        text: Any = None,
        path: str = "/",
        fail_on_none: bool = True,
        check_accept: bool = True,
    ) -> Any:
        """Send a message to a channel, and run its consumer."""
        self.send(channel, content, text, path)
        return self.consume(channel, fail_on_none=fail_on_none, check_accept=check_accept)

    def login(self, **credentials: Any) -> bool:
        """Log a user in; return false for wrong credentials and for inactive users."""
        from django.contrib.auth import authenticate  # here: a project need not have users

        user = authenticate(**credentials)
        if user is None or not user.is_active or not apps.is_installed("django.contrib.sessions"):
            return False
        self._login(user)
        return True

    def force_login(self, user: Any, backend: str | None = None) -> None:
        """Log a user in without credentials."""
        user.backend = backend or settings.AUTHENTICATION_BACKENDS[0]
        self._login(user)

    def _login(self, user: Any) -> None:
        from django.contrib.auth import login
        from django.http import HttpRequest

        request: Any = HttpRequest()
        request.session = self.session
        login(request, user)
        self.session.save()

    def _list_headers(self) -> list[list[Any]]:
        return [[name.encode(), value] for name, value in self.headers.items()]

    def _get_content(
        self, content: Mapping[str, Any] = NO_CONTENT, text: Any = None, path: str = "/"
    ) -> dict[str, Any]:
        path, question_mark, query_string = path.partition("?")
        made: dict[str, Any] = {"reply_channel": self.reply_channel, "path": path, "headers": self._list_headers()}
        if question_mark:
            made["query_string"] = query_string
        if self._ordered:
            if "order" in content:
                raise ValueError("an ordered client counts its messages itself: leave out order")
            made["order"] = self.order
            self.order += 1
        made.update(content)
        if text is not None:
            made["text"] = text
        if not isinstance(made.get("text", ""), str):
            made["text"] = json_module.dumps(made["text"])
        return made
