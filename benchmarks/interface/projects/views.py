"""One small view, the same for all subjects."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import re_path


def hello(request):
    return HttpResponse("hello")


urlpatterns = [re_path(r"^$", hello)]
