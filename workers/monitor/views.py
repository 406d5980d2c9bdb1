"""
The view of the page: staff may look, and two permissions allow the rest.

``workers.manage_channels`` allows to purge channels and to quiet workers, ``workers.read_messages`` to see the
content of messages. Superusers have both.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.urls import NoReverseMatch, reverse
from django.views.decorators.csrf import csrf_protect
from redis.exceptions import RedisError

from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.integrations.django import DEFAULT_ALIAS, get_channel_layer
from asgi_redis.monitor.web.answers import Answer, LayerChoice, Question, Rights, answer, error_answer, file_answer
from asgi_redis.monitor.web.files import FILES, HEADERS
from asgi_redis.monitor.web.watching import WatchedLayer
from asgi_redis.process import fork

MANAGE_PERMISSION = "workers.manage_channels"
READ_PERMISSION = "workers.read_messages"

_watched: fork.Own[dict[str, WatchedLayer]] = fork.Own(dict)
_lock = fork.Own(threading.Lock)


@csrf_protect
def answer_staff(request: HttpRequest, name: str = "") -> HttpResponseBase:
    """Answer for a member of the staff; ``?layer=`` names the alias of a layer."""
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        if not name:
            return redirect_to_login(request.get_full_path(), _login_url())
        return _respond(request, error_answer(HTTPStatus.FORBIDDEN, "you are not logged in: reload the page"))
    if not (user.is_active and user.is_staff):
        return _respond(request, error_answer(HTTPStatus.FORBIDDEN, "this page is for staff"))
    if request.method not in ("GET", "HEAD", "POST"):
        return _respond(request, error_answer(HTTPStatus.METHOD_NOT_ALLOWED, "GET or POST only"))
    return _respond(request, _answer(request, user, name))


def _answer(request: HttpRequest, user: Any, name: str) -> Answer:
    posted = request.method == "POST"
    if name in FILES and not posted:
        return file_answer(name)  # also while the layer cannot be made
    aliases = list(getattr(settings, "CHANNEL_LAYERS", {}))
    alias = request.GET.get("layer") or _first(aliases)
    if alias not in aliases:
        known = ", ".join(aliases) or "none"
        return error_answer(HTTPStatus.NOT_FOUND, f"no layer {alias!r} in CHANNEL_LAYERS; it has {known}")
    try:
        watched = _watched_layer(alias)
    except (ChannelLayerError, RedisError, OSError, TypeError, ValueError) as error:
        return error_answer(HTTPStatus.BAD_GATEWAY, str(error))
    values: Mapping[str, str] = (request.POST if posted else request.GET).dict()
    return answer(Question(name, values, posted), LayerChoice(watched, alias, aliases), _rights(request, user))


def _first(aliases: list[str]) -> str:
    return DEFAULT_ALIAS if DEFAULT_ALIAS in aliases or not aliases else aliases[0]


def _watched_layer(alias: str) -> WatchedLayer:
    """Return the layer for an alias; tests may have changed the settings."""
    layer = get_channel_layer(alias)
    with _lock.value:
        watched = _watched.value.get(alias)
        if watched is None or watched.layer is not layer:
            watched = _watched.value[alias] = WatchedLayer(layer)
    return watched


def _rights(request: HttpRequest, user: Any) -> Rights:
    act, read = user.has_perm(MANAGE_PERMISSION), user.has_perm(READ_PERMISSION)
    missing = [
        *([] if act else [f"To purge channels and quiet workers, you need the permission {MANAGE_PERMISSION}."]),
        *([] if read else [f"To see the content of messages, you need the permission {READ_PERMISSION}."]),
    ]
    return Rights(act, read, " ".join(missing), get_token(request))


def _login_url() -> str:
    """Return the address of the admin's login if there is one, else the project's."""
    try:
        return reverse("admin:login")
    except NoReverseMatch:
        return str(settings.LOGIN_URL)


def _respond(request: HttpRequest, made: Answer) -> HttpResponse:
    if made.etag and made.etag == request.headers.get("If-None-Match"):
        response = HttpResponse(status=HTTPStatus.NOT_MODIFIED)
    else:
        response = HttpResponse(made.content, content_type=made.content_type, status=made.status)
    for header, value in HEADERS.items():
        response[header] = value
    response["Cache-Control"] = "private, no-cache" if made.etag else "private, no-store"
    if made.etag:
        response["ETag"] = made.etag
    return response
