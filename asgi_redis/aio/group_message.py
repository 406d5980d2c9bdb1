"""A group's message for many coroutines: a dict for each, copied as far as needed."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Any

from asgi_redis.engine.fanout import SharedMessage

_UNCHANGEABLE = {str, bytes, int, float, bool, type(None)}


class GroupMessage(dict[str, Any]):
    """
    A dict that shares its lists and dicts with other coroutines until it is asked.

    It copies them then, so no change shows in another coroutine.
    """

    __slots__ = ("_common",)

    def __init__(self, message: dict[str, Any], common: frozenset[str]) -> None:
        super().__init__(message)
        self._common = set(common)

    def _own(self, key: str) -> None:
        if key in self._common:
            self[key] = _copied(super().__getitem__(key))

    def _own_all(self) -> None:
        for key in tuple(self._common):
            if key in self:
                self._own(key)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._common.discard(key)

    def __getitem__(self, key: str) -> Any:
        self._own(key)
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()  # with an own one, dict(message) and {**message} ask for each item

    def __reduce__(self) -> Any:
        return dict, (dict(self),)

    def __or__(self, other: Any) -> Any:
        return dict(self) | other  # type: ignore[operator,unused-ignore]  # Python 3.9 has it

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """Do what ``dict`` does."""
        self._own(key)
        return super().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Do what ``dict`` does."""
        self._own(key)
        return super().setdefault(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """Do what ``dict`` does."""
        self._own(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Do what ``dict`` does."""
        self._own_all()
        return super().popitem()

    def update(self, *others: Any, **values: Any) -> None:
        """Do what ``dict`` does."""
        self._own_all()
        super().update(*others, **values)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # typeshed has another class of views
        """Do what ``dict`` does."""
        self._own_all()
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # as above
        """Do what ``dict`` does."""
        self._own_all()
        return super().values()

    def copy(self) -> dict[str, Any]:
        """Do what ``dict`` does."""
        return dict(self)


class MessageCopier:
    """Makes the dicts. It holds the last message: its copies are made in a row."""

    def __init__(self) -> None:
        self._last: tuple[SharedMessage, dict[str, Any], frozenset[str] | None] | None = None

    def copy(self, shared: SharedMessage) -> dict[str, Any] | None:
        """Return a dict for one coroutine; None for a message that cannot be decoded."""
        try:
            last = self._last
            if last is None or last[0] is not shared:
                message = shared.message()
                last = self._last = (shared, message, _common(message))
            _, message, common = last
            if common is None:
                return shared.message()
        except Exception:  # noqa: BLE001  a serialiser may raise anything
            return None
        return GroupMessage(message, common) if common else dict(message)

    def clear(self) -> None:
        """Drop the last message."""
        self._last = None


def _common(message: dict[str, Any]) -> frozenset[str] | None:
    """Return the keys of mutable values; None where a value cannot be copied here."""
    if not all(map(_is_plain, message.values())):
        return None
    return frozenset(key for key, value in message.items() if type(value) not in _UNCHANGEABLE)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if kind is list else kind in _UNCHANGEABLE


def _copied(value: Any) -> Any:
    """Return a copy of plain values; ``copy.deepcopy`` takes several times as long."""
    kind = type(value)
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if kind is list else value
