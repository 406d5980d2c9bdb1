"""Views of a project, for workers that answer its requests."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.apps import apps
from django.core.exceptions import SuspiciousOperation
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
    UnreadablePostError,
)
from django.urls import path, reverse

from workers.exceptions import ResponseLater

events: list[str] = []
"""What has happened, for the test to look at."""


def facts(request: HttpRequest) -> JsonResponse:
    names = ["PATH_INFO", "SCRIPT_NAME", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT"]
    return JsonResponse(
        {
            **{name: request.META.get(name) for name in [*names, "HTTP_X_TWICE"]},
            "path": request.path,
            "url": reverse("facts"),
            "secure": request.is_secure(),
            "absolute": request.build_absolute_uri(),
            "get": request.GET.dict(),
            "cookies": request.COOKIES,
        }
    )


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("ok")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body)


def upload(request: HttpRequest) -> JsonResponse:
    file: Any = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse({"size": file.size, "sha256": digest.hexdigest(), "kind": type(file).__name__})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        try:
            for number in range(int(request.GET["parts"])):
                yield f"part {number};".ljust(int(request.GET.get("size", 0)))
                events.append(f"part {number}")
            if "fail" in request.GET:
                raise KeyError("in the middle")
            if "leave" in request.GET:
                sys.exit("in the middle")
        finally:
            events.append("closed")

    return StreamingHttpResponse(parts())


async def stream_asynchronously(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            yield f"part {number};"

    return StreamingHttpResponse(parts())


async def wait(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            events.append("closed")

    return StreamingHttpResponse(parts())


async def asynchronous(request: HttpRequest) -> HttpResponse:
    count = await apps.get_model("auth.Group").objects.acount()
    return HttpResponse(f"{count} groups")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(request.GET["name"], "rb"))  # noqa: PTH123  the response closes it


def fail(request: HttpRequest) -> HttpResponse:
    raise KeyError("lost")


def leave(request: HttpRequest) -> HttpResponse:
    sys.exit("from a view")


def refuse(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation


def save(request: HttpRequest) -> HttpResponse:
    """Saves a group, and raises what it is told to."""
    apps.get_model("auth.Group").objects.create(name=request.GET["name"])
    raise {"later": ResponseLater, "error": KeyError}[request.GET["raise"]]


async def later(request: HttpRequest) -> HttpResponse:
    raise ResponseLater


def patient(request: HttpRequest) -> HttpResponse:
    """Answers also a body that does not come."""
    try:
        return HttpResponse(request.body)
    except UnreadablePostError:
        return HttpResponse("send it again", status=409)


VIEWS = [later, patient, facts, cookies, echo, upload, stream, wait, asynchronous, file, fail, leave, refuse, save]
urlpatterns = [
    *(path(f"{view.__name__}/", view, name=view.__name__) for view in VIEWS),
    path("stream-asynchronously/", stream_asynchronously),
]
