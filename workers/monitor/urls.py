"""The page's paths: ``path("channels/", include("workers.monitor.urls"))``."""

from __future__ import annotations

try:
    from django.urls import path
except ImportError as error:
    raise ImportError(f'the page of the monitor needs Django: pip install "asgi_redis[django]" ({error})') from error

from workers.monitor.views import answer_staff

app_name = "channels_monitor"

# All other paths are relative to the first, and start with it.
urlpatterns = [path("", answer_staff, name="page"), path("<str:name>", answer_staff, name="part")]
