"""The project's application, and one that has no consumers of channels."""

from channels.routing import ChannelNameRouter, ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from tests.unit.workers.compat.channels4 import consumers

application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "channel": ChannelNameRouter(
            {
                "thumbnails": consumers.Thumbnails.as_asgi(),
                "emails": consumers.Emails.as_asgi(),
                "bare": consumers.bare,
                "broken": consumers.Broken.as_asgi(),
            }
        ),
    }
)
without_channels = ProtocolTypeRouter({"http": get_asgi_application()})
