"""The page of a room, and Django's own views to log in and out."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from talk.models import Room


def page(request: HttpRequest, room: str = "lobby") -> HttpResponse:
    names = {"lobby", room, *Room.objects.order_by("-pk").values_list("name", flat=True)[:10]}
    content = {"room": room, "rooms": sorted(names), "heartbeat": settings.HEARTBEAT_SECONDS}
    return render(request, "room.html", content)


urlpatterns = [
    path("", page),
    path("accounts/", include("django.contrib.auth.urls")),
    path("<slug:room>/", page, name="room"),
]
