"""The HTTP side: Django's own views and URLs."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse
from django.urls import path


def hello(request):
    return HttpResponse("hello")


def echo(request):
    """Returns what came, byte by byte, and as a header what the session counts."""
    request.session["requests"] = request.session.get("requests", 0) + 1
    response = HttpResponse(request.body, content_type="application/octet-stream")
    response["X-Requests"] = str(request.session["requests"])
    response["X-Query"] = request.GET.get("q", "")
    return response


def log_in(request, name):
    user, _ = User.objects.get_or_create(username=name)
    login(request, user)
    return JsonResponse({"user": user.username})


urlpatterns = [path("", hello), path("echo", echo), path("login/<name>", log_in)]
