"""The interface: it keeps the sockets of browsers, and knows the settings of the project, but none of its code."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "talk.settings")

from asgi_redis.interface import application as application
