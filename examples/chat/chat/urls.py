"""The page, and the button on it."""

import threading

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_POST

from chat import tasks


def page(request: HttpRequest, room: str = "lobby") -> HttpResponse:
    return render(request, "room.html", {"room": room})


@require_POST
def report(request: HttpRequest, room: str) -> HttpResponse:
    threading.Thread(target=tasks.report, args=[room]).start()
    return HttpResponse(status=204)  # the browser stays on the page


urlpatterns = [
    path("", page),
    path("<slug:room>/", page, name="room"),
    path("<slug:room>/report/", report, name="report"),
]
