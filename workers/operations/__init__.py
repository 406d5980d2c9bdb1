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
from workers.runtime.hooks import Duty


def duties_from(options: Mapping[str, Any]) -> list[Duty]:
    """
    Returns the duties that the flags of ``arguments.add_worker_arguments`` and systemd's environment ask for.

    Raises ``ConfigurationError`` for those that cannot be done. When this is a rehearsal for a reload it does not
    return, but ends the process: by now, everything is loaded.
    """
    if is_rehearsal():
        sys.exit(0)
    place = own_place()
    duties: list[Duty] = []
    if place is None:
        duties += _reporting(options)
    else:
        duties.append(Supervised(place, options["metrics_port"] is not None))
    if options["soft_time_limit"] is not None:
        duties.append(Overrun(options["soft_time_limit"]))
    if options["max_messages"] is not None:
        duties.append(MaxMessages(options["max_messages"]))
    if options["max_memory"] is not None:
        duties.append(MaxMemory(options["max_memory"]))
    if options["reload"]:
        environment = {} if place is None else {VARIABLE: str(place)}
        duties.append(Reloading(environment))  # the last one: when it stops, the process is another
    return duties


def _reporting(options: Mapping[str, Any]) -> list[Duty]:
    """Returns what tells others how the worker does, and is the supervisor's where there are several processes."""
    duties: list[Duty] = []
    systemd = systemd_from(os.environ)
    if systemd is not None:
        duties.append(systemd)
    if options["heartbeat_file"] is not None:
        duties.append(Heartbeat(options["heartbeat_file"]))
    if options["metrics_port"] is not None:
        duties.append(Metrics(options["metrics_port"]))
    return duties
