"""The URLs of a project that has the admin, too."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from tests.support.monitor import urls


def login(request: HttpRequest) -> HttpResponse:
    """Stands for the admin's."""
    return HttpResponse()


urlpatterns = [
    path("admin/", include(([path("login/", login, name="login")], "admin"))),
    *urls.urlpatterns,
]
