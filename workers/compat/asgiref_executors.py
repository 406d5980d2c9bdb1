"""The executors of asgiref's ``sync_to_async``, which it does not document."""

from __future__ import annotations

from concurrent.futures import Executor

from asgiref.sync import SyncToAsync, ThreadSensitiveContext


def use_executor(executor: Executor) -> None:
    """Have ``sync_to_async`` run code by ``executor``, in the current task."""
    sensitive = ThreadSensitiveContext()
    SyncToAsync.context_to_thread_executor[sensitive] = executor
    SyncToAsync.thread_sensitive_context.set(sensitive)


def single_thread() -> Executor:
    """Return the executor that ``sync_to_async`` uses by default: one thread for all."""
    return SyncToAsync.single_thread_executor
