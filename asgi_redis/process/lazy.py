"""Attributes of packages and of objects that are made at first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


def lazy_attributes(package: str, homes: Mapping[str, str], modules: Collection[str] = ()) -> Callable[[str], Any]:
    """
    Return the ``__getattr__`` of a package.

    Args:
        package: The name of the package.
        homes: The module that each name is defined in.
        modules: Names of the package's own modules that need no import statement.
    """

    def find(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find


class LazyAttribute(Generic[T]):
    """
    An attribute that a method makes at its first use.

    Needs no lock, which a fork might find held, as that of ``functools.cached_property`` before Python 3.12: of the
    values that several threads make at the same time, all get the same.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> LazyAttribute[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> LazyAttribute[T] | T:
        if instance is None:
            return self
        value: T = vars(instance).setdefault(self._name, self._make(instance))
        return value
