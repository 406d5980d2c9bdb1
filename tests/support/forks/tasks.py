"""Sends tasks to the workers of ``wsgi`` and prints their results, of three processes at least."""

from __future__ import annotations

import json
import os
import sys

os.environ["KINDS"] = os.environ["USED_AT_START"] = ""

from tests.support.forks.wsgi import report_task

reports = []
while len({report.get("pid") for report in reports}) < 3:
    asked = [
        report_task.apply_async([f"t{len(reports) + number}"], queue=os.environ["CELERY_QUEUE"])
        for number in range(6)
    ]
    reports += [json.loads(one.get(timeout=30)) for one in asked]
sys.stdout.write(json.dumps(reports))
