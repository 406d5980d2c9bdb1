"""The URLs of a project with the monitor's page."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("channels/", include("workers.monitor.urls"))]
