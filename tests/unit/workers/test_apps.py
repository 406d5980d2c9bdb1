"""The package as a Django application."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("django")

ROUTED = {"default": {"BACKEND": "asgi_redis.InMemoryChannelLayer", "ROUTING": []}}
PROGRAM = """
import sys
import django
from django.conf import settings
from django.core.management import ManagementUtility, get_commands

settings.configure(INSTALLED_APPS=sys.argv[1].split(), CHANNEL_LAYERS=eval(sys.argv[2]), STATIC_URL="/static/")
django.setup()
parser = ManagementUtility().fetch_command("runserver").create_parser("manage.py", "runserver")
print(get_commands()["runserver"], "use_static_handler" in parser.parse_args([]))
"""


@pytest.mark.parametrize(
    ("apps", "layers", "owner"),
    [
        ("django.contrib.staticfiles workers", ROUTED, "workers"),
        ("workers django.contrib.staticfiles", ROUTED, "workers"),
        ("django.contrib.staticfiles workers", {}, "django.contrib.staticfiles"),
    ],
)
def test_runserver_of_a_classic_project_is_this_package_s_and_takes_the_options_of_the_static_files(
    apps: str, layers: object, owner: str
) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, apps, repr(layers)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.stdout, run.stderr) == (f"{owner} True\n", "")
