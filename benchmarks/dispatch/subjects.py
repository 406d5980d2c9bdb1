"""The subjects: how their workers are started, and in which table they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

THREAD, GEVENT = "thread", "gevent"
_APPS = f"{__package__}.apps"

Command = Callable[[int, int], list[str]]  # of slots and Redis's port
Variables = Callable[[int], dict[str, str]]  # of slots


@dataclass(frozen=True, eq=False)
class Subject:
    """One column of a table; ``command`` starts with a script or python of ``bin/``."""

    key: str
    title: str  # column heading, two lines at most
    pool: str  # thread or gevent: which table
    app: str  # module of ``apps``
    command: Command
    kind: str = "peer"  # or ours, or floor: no worker can be faster
    most_slots: int = 1_000_000
    variables: Variables = lambda slots: {}

    @property
    def environment(self) -> str:
        """The name of the virtual environment."""
        return f"dispatch_{self.app}"


def _ours(pool: str) -> Command:
    return lambda slots, port: [
        *("python", "-m", "workers", "--pool", pool, "--concurrency", str(slots), "-v", "0"),
        *("--layer-url", f"redis://127.0.0.1:{port}/0", "--routing", f"{_APPS}.ours.routing"),
    ]


def _dramatiq(script: str) -> Command:
    return lambda slots, port: [script, f"{_APPS}.dramatiq", "--processes", "1", "--threads", str(slots)]


def _huey(slots: int, port: int) -> list[str]:
    # Quiet, and without its scheduler's periodic tasks.
    options = ["--workers", str(slots), "--no-periodic", "--quiet"]
    return ["python", "-m", "huey.bin.huey_consumer", f"{_APPS}.huey.huey", *options]


def _huey_patched(slots: int, port: int) -> list[str]:
    # It leaves gevent's patches to its users.
    python, _, module, *arguments = _huey(slots, port)
    return [python, "-m", "gevent.monkey", "--module", module, *arguments, "--worker-type", "greenlet"]


def _celery(pool: str) -> Command:
    # Without messages to other workers: there are none.
    return lambda slots, port: [
        *("celery", "-A", f"{_APPS}.celery", "worker", "--pool", pool, "--concurrency", str(slots)),
        *("--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]


def _rq(slots: int, port: int) -> list[str]:
    url = f"redis://127.0.0.1:{port}/0"
    return ["rq", "worker", "--worker-class", "rq.worker.SimpleWorker", "--url", url, "--quiet", "bench"]


def _channels(slots: int, port: int) -> list[str]:
    return ["python", "-m", "django", "runworker", "bench"]


def _prefetch(slots: int) -> dict[str, str]:
    # With its default, two messages for each thread, it sleeps between its batches: 270 messages a second in one
    # thread instead of some 14,000 with 256, and more bring no more. For 1,000 greenlets 2, 5, 20 and 65 each were
    # tried: 20 and 65 gave some 2,000 messages a second, the others fewer. Its latency is the same with the default.
    return {"dramatiq_queue_prefetch": str(max(256, 20 * slots))}


def _bare(slots: int, port: int) -> list[str]:
    return ["python", "-m", f"{_APPS}.bare", str(slots)]


def _settings(consumer: str) -> Variables:
    return lambda slots: {"DJANGO_SETTINGS_MODULE": f"{_APPS}.channels", "BENCH_CONSUMER": consumer}


SUBJECTS = (
    Subject("ours_thread", "workers\nthreads", THREAD, "ours", _ours("thread"), kind="ours"),
    Subject("dramatiq_thread", "dramatiq\nthreads", THREAD, "dramatiq", _dramatiq("dramatiq"), variables=_prefetch),
    Subject("huey_thread", "huey\nthread", THREAD, "huey", _huey),
    Subject("celery_threads", "celery\nthreads", THREAD, "celery", _celery("threads")),
    Subject("rq", "rq Simple-\nWorker", THREAD, "rq", _rq, most_slots=1),
    Subject(
        "channels_sync",
        "Channels 4\nsync",
        THREAD,
        "channels",
        _channels,
        most_slots=1,
        variables=_settings("sync"),
    ),
    Subject(
        "channels_async",
        "Channels 4\nasync",
        THREAD,
        "channels",
        _channels,
        most_slots=1,
        variables=_settings("async"),
    ),
    Subject("bare", "sleep\nalone", THREAD, "bare", _bare, kind="floor"),
    Subject("ours_gevent", "workers\ngevent", GEVENT, "ours", _ours("gevent"), kind="ours"),
    Subject(
        "dramatiq_gevent", "dramatiq\n-gevent", GEVENT, "dramatiq", _dramatiq("dramatiq-gevent"), variables=_prefetch
    ),
    Subject("huey_greenlet", "huey\ngreenlet", GEVENT, "huey", _huey_patched),
    Subject("celery_gevent", "celery\ngevent", GEVENT, "celery", _celery("gevent")),
)
