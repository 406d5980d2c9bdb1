"""The answers to the page's questions, the same under every server."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Callable, NamedTuple

from redis.exceptions import RedisError

from asgi_redis.engine.facts import QUIET
from asgi_redis.exceptions import ChannelLayerError, InvalidName
from asgi_redis.monitor.web.files import FILES, page_file
from asgi_redis.monitor.web.watching import WatchedLayer

JSON = "application/json"
TOKEN_FIELD = "csrfmiddlewaretoken"  # noqa: S105  the name of a form field, Django's
PEEKED_MESSAGES = 20
SHOWN_CHARACTERS = 10_000
"""The most characters of a message's content that the page shows."""


class Rights(NamedTuple):
    """
    The rights of a person who looks at the page.

    ``act``: purge channels and quiet workers. ``read``: see the content of messages. ``note``: words about rights
    that are missing. ``token``: sent back with each action, so that no other site can cause it.
    """

    act: bool
    read: bool
    note: str
    token: str


class Question(NamedTuple):
    """A request: the last part of its path, its values, and whether it is a POST."""

    name: str
    values: Mapping[str, str]
    posted: bool = False


class Answer(NamedTuple):
    """A response. ``etag`` is empty where it is not to be stored."""

    status: int
    content_type: str
    content: bytes
    etag: str = ""


class LayerChoice(NamedTuple):
    """The layer that is looked at, and the aliases of all that can be."""

    watched: WatchedLayer
    alias: str
    aliases: Sequence[str]


def file_answer(name: str) -> Answer:
    """Return a file of the page."""
    return Answer(HTTPStatus.OK, *page_file(name))


def json_answer(content: Mapping[str, Any], status: int = HTTPStatus.OK) -> Answer:
    """Return JSON that every browser can read: without NaN and infinities."""
    try:
        text = json.dumps(content, allow_nan=False)
    except ValueError:
        text = json.dumps(json.loads(json.dumps(content), parse_constant=lambda name: None))
    return Answer(status, JSON, text.encode())


def error_answer(status: int, text: str) -> Answer:
    """Return an error that the page shows."""
    return json_answer({"error": text}, status)


def answer(question: Question, choice: LayerChoice, rights: Rights) -> Answer:
    """Answer a question about a layer, or carry out an action, as the rights allow."""
    if question.name in FILES and not question.posted:
        return file_answer(question.name)
    call = (_ACTIONS if question.posted else _VIEWS).get(question.name)
    if call is None:
        known = question.name in {*FILES, *_VIEWS, *_ACTIONS}
        return error_answer(HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND, "there is no such page")
    if question.posted and not rights.act:
        return error_answer(HTTPStatus.FORBIDDEN, rights.note)
    try:
        return call(question.values, choice, rights)
    except KeyError as error:
        return error_answer(HTTPStatus.BAD_REQUEST, f"the value {error} is missing")
    except InvalidName as error:
        return error_answer(HTTPStatus.BAD_REQUEST, str(error))
    except (RedisError, ChannelLayerError, OSError) as error:
        return error_answer(HTTPStatus.BAD_GATEWAY, str(error) or type(error).__name__)


def _facts(values: Mapping[str, str], choice: LayerChoice, rights: Rights) -> Answer:
    return json_answer(
        {
            "snapshot": choice.watched.snapshot(),
            "now": time.time(),
            "layer": choice.alias,
            "layers": list(choice.aliases),
            "may": {"act": rights.act, "read": rights.read},
            "note": rights.note,
            "token": rights.token,
        }
    )


def _peek(values: Mapping[str, str], choice: LayerChoice, rights: Rights) -> Answer:
    inspector = choice.watched.layer.inspector
    if inspector is None:
        return error_answer(HTTPStatus.NOT_FOUND, "this layer cannot be looked into")
    with_content = "content" in values
    if with_content and not rights.read:
        return error_answer(HTTPStatus.FORBIDDEN, rights.note)
    found = inspector.peek(values["channel"], PEEKED_MESSAGES, content=with_content)
    rows = [
        {
            "channel": message.channel if message.channel != values["channel"] else "",
            "age": message.age,
            "size": message.size,
            **({"content": readable(message.content)} if with_content else {}),
        }
        for message in found
    ]
    return json_answer({"messages": rows})


def _purge(values: Mapping[str, str], choice: LayerChoice, rights: Rights) -> Answer:
    inspector = choice.watched.layer.inspector
    if inspector is None:
        return error_answer(HTTPStatus.NOT_FOUND, "this layer cannot be purged")
    return json_answer({"deleted": inspector.purge(values["channel"])})


def _quiet(values: Mapping[str, str], choice: LayerChoice, rights: Rights) -> Answer:
    registry = choice.watched.layer.registry
    if registry is None:
        return error_answer(HTTPStatus.NOT_FOUND, "this layer has no list of workers")
    return json_answer({"asked": registry.ask(values["process"], QUIET)})


def readable(content: object) -> str:
    """Return the content of a message as text for people, bytes in it as text, too."""
    if content is None:
        return "cannot be decoded"
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, default=_text)
    except (TypeError, ValueError):  # such as keys that JSON does not know
        text = repr(content)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else repr(value)


_Call = Callable[[Mapping[str, str], LayerChoice, Rights], Answer]
_VIEWS: dict[str, _Call] = {"facts": _facts, "peek": _peek}
_ACTIONS: dict[str, _Call] = {"purge": _purge, "quiet": _quiet}
