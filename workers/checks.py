"""The system check of ``workers``, for ``manage.py check`` and whatever else runs the checks."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Warning


def check_command(**_: Any) -> list[CheckMessage]:
    """Returns a warning where ``manage.py runworker`` is that of Channels."""
    names = [config.name for config in apps.get_app_configs()]
    if "channels" not in names or names.index("workers") < names.index("channels"):
        return []
    return [
        Warning(
            "manage.py runworker is the command of Channels, which comes first in INSTALLED_APPS.",
            hint="Put 'workers' before 'channels'.",
            id="workers.W001",
        )
    ]
