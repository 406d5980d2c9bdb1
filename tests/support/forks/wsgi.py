"""A preloaded WSGI application that has used its layers when the server forks; also a task queue's module."""

from __future__ import annotations

import os

from tests.support.forks.preloaded import report

STARTED = report("start", 1, os.environ["USED_AT_START"].split())
assert "error" not in STARTED, STARTED


def application(environ, start_response):
    """Answers with the report of the process that it runs in; the path says whose."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [report(environ["PATH_INFO"].strip("/")).encode()]


if os.environ.get("CELERY_BROKER"):
    from celery import Celery

    app = Celery("wsgi", broker=os.environ["CELERY_BROKER"], backend=os.environ["CELERY_BROKER"])
    app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)

    @app.task(name="report")
    def report_task(who):
        """Returns the report of the process that it runs in."""
        return report(who)
