"""What a worker can do beside running messages, each a duty of its own, chosen by flags."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from workers.operations.heartbeat import Heartbeat
from workers.operations.metrics import Metrics
from workers.operations.overrun import Overrun
from workers.operations.recycling import MaxMemory, MaxMessages
from workers.operations.reloading import Reloading, is_rehearsal
from workers.operations.supervised import VARIABLE, Supervised, own_place
from workers.operations.systemd import systemd_from
from workers.runtime.hooks import LifecycleHook


def hooks_from(options: Mapping[str, Any]) -> list[LifecycleHook]:
    """
    Returns the duties that the flags of ``arguments.add_worker_arguments`` and systemd's environment ask for.

    Raises ``ConfigurationError`` for those that cannot be done. When this is a rehearsal for a reload it does not
    return, but ends the process: by now, everything is loaded.
    """
    if is_rehearsal():
        sys.exit(0)
    place = own_place()
    hooks: list[LifecycleHook] = []
    if place is None:
        hooks += _reporting(options)
    else:
        hooks.append(Supervised(place, options["metrics_port"] is not None))
    if options["soft_time_limit"] is not None:
        hooks.append(Overrun(options["soft_time_limit"]))
    if options["max_messages"] is not None:
        hooks.append(MaxMessages(options["max_messages"]))
    if options["max_memory"] is not None:
        hooks.append(MaxMemory(options["max_memory"]))
    if options["reload"]:
        environment = {} if place is None else {VARIABLE: str(place)}
        hooks.append(Reloading(environment))  # the last one: when it stops, the process is another
    return hooks


def _reporting(options: Mapping[str, Any]) -> list[LifecycleHook]:
    """Returns what tells others how the worker does, and is the supervisor's where there are several processes."""
    hooks: list[LifecycleHook] = []
    systemd = systemd_from(os.environ)
    if systemd is not None:
        hooks.append(systemd)
    if options["heartbeat_file"] is not None:
        hooks.append(Heartbeat(options["heartbeat_file"]))
    if options["metrics_port"] is not None:
        hooks.append(Metrics(options["metrics_port"]))
    return hooks
