"""
Runs tests of Channels' own with a channel layer of ours: ``python own_suite.py DIRECTORY [URL PREFIX]``.

``DIRECTORY`` holds the tests of the package ``channels.tests`` that the installed Channels has left out. Without a
URL the layer is the one that they were written for, asgiref's in-memory layer; with one it is ours in its place: with
another prefix for each test, and a capacity of 10. Prints the outcome of each test as a line of JSON at the end.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from tests.support.channels1_suite import Outcomes

TABLES = ("auth", "contenttypes", "sessions")
# Replaces the insides of the management commands of its day, with no channel layer but a fake one.
MOCKED = "test_management"


def main(directory: str, url: str | None = None, prefix: str = "") -> None:
    settings.configure(
        SECRET_KEY="x",
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in TABLES), "channels", "channels.delay"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}},
        CHANNEL_LAYERS={
            "default": {"BACKEND": "asgiref.inmemory.ChannelLayer", "ROUTING": []},
        },
    )
    django.setup()
    import channels.test.base
    import channels.tests
    from django.test.runner import DiscoverRunner

    channels.tests.__path__.append(directory)
    # The helpers are those of the installed Channels, under the name that they had.
    sys.modules["channels.tests.base"] = channels.test.base
    sys.modules["channels.tests.http"] = sys.modules["channels.test.http"]
    if url is not None:
        from asgi_redis import RedisChannelLayer

        numbers = itertools.count()
        channels.test.base.InMemoryChannelLayer = lambda: RedisChannelLayer(
            hosts=[url], prefix=f"{prefix}-{next(numbers)}-", capacity=10
        )

    class Runner(DiscoverRunner):
        def get_resultclass(self) -> type[Outcomes]:
            return Outcomes

        def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> Any:
            return result.by_name

    names = sorted({path.stem for path in Path(directory).glob("test_*.py")} - {MOCKED})
    outcomes = Runner(verbosity=0).run_tests([f"channels.tests.{name}" for name in names])
    sys.stdout.write(f"{json.dumps(outcomes)}\n")
    sys.stdout.flush()
    os._exit(0)  # some tests leave workers behind, in threads that would never end


if __name__ == "__main__":
    main(*sys.argv[1:])
