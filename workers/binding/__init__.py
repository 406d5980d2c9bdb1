"""Data binding of Django models, as in ``channels.binding`` of Channels 1.1.8."""

from __future__ import annotations

from workers.binding.base import Binding

__all__ = ["Binding"]
