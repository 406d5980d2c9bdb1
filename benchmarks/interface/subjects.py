"""The subjects: which server, which worker, on which project."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..channels1 import stack as channels1
from .environments import CHANNELS4, CLASSIC, DJANGO, OURS

ROOT = Path(__file__).parent.parent.parent
_PROJECTS = f"{__package__}.projects"
# The checkout is last on the path: an installed package of our name goes before it.
_MODULE = (
    f"import runpy, sys; sys.path.append({str(ROOT)!r}); del sys.argv[0]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)
# These stand for the server's port, and for a file that a worker touches as long as it pulls messages.
PORT, HEARTBEAT = "{port}", "{heartbeat}"

Code = tuple[str, ...]  # Python code that takes the arguments after it


class Subject(NamedTuple):
    """One column of a table; ``worker`` is none where the server runs the consumers."""

    key: str
    title: str  # column heading, two lines at most
    environment: str
    settings: str
    server: Code
    worker: Code = ()
    sender: Code = ()
    consumers: str = ""  # which of the project


def module(name: str, *arguments: str) -> Code:
    """Return what runs a module as ``python -m`` does."""
    return _MODULE, name, *arguments


def _uvicorn(application: str) -> Code:
    # No access log, which would be measured, too.
    return module("uvicorn", application, "--port", PORT, "--no-access-log", "--log-level", "warning")


def _ours(key: str, title: str, *pool: str) -> Subject:
    worker = module("workers", "-v", "0", "--heartbeat-file", HEARTBEAT, *pool)
    server = _uvicorn("asgi_redis.interface:application")
    sender = module(f"{_PROJECTS}.ours")
    return Subject(key, title, OURS, f"{_PROJECTS}.ours", server, worker, sender)


def _channels4(key: str, title: str, consumers: str) -> Subject:
    application = f"{_PROJECTS}.channels4_app"
    server, sender = _uvicorn(f"{application}:application"), module(application)
    return Subject(key, title, CHANNELS4, f"{_PROJECTS}.channels4", server, (), sender, consumers)


def _django(key: str, title: str, server: Code) -> Subject:
    return Subject(key, title, DJANGO, f"{_PROJECTS}.plain", server)


def _classic(key: str, title: str, *daphne: str) -> Subject:
    project = channels1.PROJECT
    server = (channels1.DAPHNE, "--port", PORT, "-v", "0", *daphne, f"{project}:channel_layer")
    return Subject(key, title, CLASSIC, project, server, (channels1.MANAGE, "runworker", "-v", "0"))


THREADS = _ours("ours_threads", "interface +\n4 threads", "--threads", "4")
GEVENT = _ours("ours_gevent", "interface +\n100 greenlets", "--pool", "gevent", "--concurrency", "100")
SYNC = _channels4("channels4_sync", "Channels 4\nWebsocketConsumer", "sync")
ASYNC = _channels4("channels4_async", "Channels 4\nAsyncWebsocketConsumer", "async")
TWISTED = _classic("classic_twisted", "daphne 1.4.2\nTwisted")
BUSY = _classic("classic_busy", "daphne 1.4.2\nbusy loop", "--force-sync")
ASGI = _django("django_asgi", "Django\nuvicorn", _uvicorn(f"{_PROJECTS}.plain:asgi"))
WSGI = _django(
    "django_wsgi",
    "Django\ngunicorn gthread",
    module(
        "gunicorn",
        f"{_PROJECTS}.plain:wsgi",
        "--bind",
        f"127.0.0.1:{PORT}",
        "--threads",
        "4",
        "--log-level",
        "warning",
    ),
)
OURS_BOTH, CHANNELS4_BOTH, CLASSIC_BOTH = (THREADS, GEVENT), (SYNC, ASYNC), (TWISTED, BUSY)
SUBJECTS = (*OURS_BOTH, *CHANNELS4_BOTH, *CLASSIC_BOTH, ASGI, WSGI)
