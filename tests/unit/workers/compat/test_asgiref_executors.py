"""The undocumented parts of asgiref that ``workers.compat.asgiref_executors`` relies on."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread

import pytest

pytest.importorskip("asgiref.sync")

from asgiref.sync import SyncToAsync, sync_to_async

from workers.compat.asgiref_executors import single_thread, use_executor

CHANGED = "has changed: adapt workers.compat.asgiref_executors"


def test_the_parts_are_there() -> None:
    for name in ("context_to_thread_executor", "thread_sensitive_context", "single_thread_executor"):
        assert hasattr(SyncToAsync, name), f"asgiref's SyncToAsync.{name} {CHANGED}"


def test_code_runs_by_the_executor_of_its_task_or_in_the_single_thread() -> None:
    async def thread_name(executor: ThreadPoolExecutor | None = None) -> str:
        if executor is not None:
            use_executor(executor)
        return str(await sync_to_async(lambda: current_thread().name)())

    async def main() -> list[str]:
        with ThreadPoolExecutor(1, "ours") as executor:
            return await asyncio.gather(thread_name(executor), thread_name())

    ours, default = asyncio.run(main())
    assert ours.startswith("ours"), f"asgiref's choice of an executor {CHANGED}"
    assert default == single_thread().submit(lambda: current_thread().name).result(), f"asgiref's default {CHANGED}"
