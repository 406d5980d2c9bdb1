"""What a worker can do beside running messages, each a duty of its own, chosen by flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.duties import Duty


def duties_from(options: Mapping[str, Any]) -> list[Duty]:
    """Returns the duties that the flags of ``arguments.add_worker_arguments`` ask for."""
    return []
