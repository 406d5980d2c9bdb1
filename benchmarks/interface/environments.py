"""The virtual environments of the servers and workers, with the versions of the peers."""

from __future__ import annotations

from ..channels1.subjects import BEFORE
from ..environments import REQUIREMENTS, Environments

OURS, CHANNELS4, DJANGO, CLASSIC = "interface_ours", "interface_channels4", "interface_django", BEFORE
_SERVER = ("Django==5.2.19", "uvicorn[standard]==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "websockets==17.4")
REQUIREMENTS[OURS] = (*_SERVER, "redis==8.1.0", "msgpack==1.2.4", "hiredis==3.5.0", "gevent==26.9.0")
# Not redis-py 8: its timeout ends the blocking pops of channels_redis, and a websocket is closed after five seconds.
REQUIREMENTS[CHANNELS4] = (*_SERVER, "channels==4.3.2", "channels_redis==4.3.0", "redis==7.4.1", "hiredis==3.5.0")
REQUIREMENTS[DJANGO] = (*_SERVER, "gunicorn==27.0.1")


class InterfaceEnvironments(Environments):
    """The environments of servers and workers, which differ in the packages that matter."""

    shown = (
        *("asgi_redis", "channels", "channels_redis", "daphne", "Django", "gunicorn", "uvicorn"),
        *("uvloop", "httptools", "websockets", "autobahn", "Twisted", "gevent", "redis", "hiredis", "msgpack"),
    )
