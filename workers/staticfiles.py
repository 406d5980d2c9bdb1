"""Static files for development, as in ``channels.staticfiles`` of Channels 1.1.8."""

from __future__ import annotations

from urllib.parse import urlparse

from workers.handler import AsgiHandler, ViewConsumer

try:
    from django.contrib.staticfiles.handlers import StaticFilesHandlerMixin
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
except ImportError as error:
    raise ImportError(f'static files need Django: pip install "asgi_redis[django]" ({error})') from error


class StaticFilesHandler(StaticFilesHandlerMixin, AsgiHandler):
    """Serves files under ``STATIC_URL`` as ``runserver`` does, and other views."""

    def __init__(self) -> None:
        super().__init__()
        self.base_url = urlparse(self.get_base_url())

    def load_middleware(self, is_async: bool = False) -> None:
        AsgiHandler.load_middleware(self, is_async)  # the other base has none

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        of_static = not self.base_url.netloc and request.path.startswith(self.base_url.path)
        handler = StaticFilesHandlerMixin if of_static else AsgiHandler
        response: HttpResponseBase = handler.get_response(self, request)
        return response


class StaticFilesConsumer(ViewConsumer):
    """A ``ViewConsumer`` that serves static files, too."""

    handler_class = StaticFilesHandler
