"""
The declaration of options: its form, and the functions that read it.

A declaration is a ``TypedDict`` class whose annotations hold an ``Option`` each, so that editors and type checkers
know the options of a constructor.
"""

# No "from __future__ import annotations": see ``asgi_redis/layers/options.py``.

import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple, Optional, TypeVar, cast, get_type_hints

from asgi_redis.exceptions import ConfigurationError, UnknownSetting

T = TypeVar("T", bound=Mapping[str, object])
F = TypeVar("F", bound=Callable[..., None])

_RAISES = "Raises:\n    ValueError: An option has a value that cannot work.\n    TypeError: An option is not known."


class Option(NamedTuple):
    """
    The declaration of an option.

    ``check(name, value)`` raises for a wrong value. ``example`` is Python code of a value, for the reference of the
    options; tests pass it to the constructors. ``type`` is set from the annotation.
    """

    help: str
    default: object = None
    check: Optional[Callable[[str, object], None]] = None
    example: str = ""
    type: object = None


_declarations: dict[type, dict[str, Option]] = {}


def must_be(wanted: str, fits: Callable[[object], bool]) -> Callable[[str, object], None]:
    """Return a check whose error says which value is ``wanted``."""

    def check(name: str, value: object) -> None:
        if not fits(value):
            raise ConfigurationError(f"{name} must be {wanted}, not {value!r}")

    return check


def declarations(kind: type) -> dict[str, Option]:
    """Return the options that a ``TypedDict`` declares, by name."""
    if kind not in _declarations:
        hints = get_type_hints(kind, include_extras=True)
        _declarations[kind] = {
            name: hint.__metadata__[0]._replace(type=hint.__origin__) for name, hint in hints.items()
        }
    return _declarations[kind]


def takes(kind: type, summary: str = "Make the layer.") -> Callable[[F], F]:
    """Decorate a constructor so that its signature and docstring show each option."""
    options = declarations(kind)

    def decorate(constructor: F) -> F:
        signature = inspect.signature(constructor)
        parameters = {name: one for name, one in signature.parameters.items() if one.kind is not one.VAR_KEYWORD}
        for name, option in options.items():
            place = inspect.Parameter.POSITIONAL_OR_KEYWORD if name in parameters else inspect.Parameter.KEYWORD_ONLY
            parameters[name] = inspect.Parameter(name, place, default=option.default, annotation=option.type)
        shown = signature.replace(parameters=list(parameters.values()))
        constructor.__signature__ = shown  # type: ignore[attr-defined]  # inspect reads it
        lines = "\n".join(f"    {name}: {option.help}" for name, option in options.items())
        constructor.__doc__ = f"{summary}\n\nArgs:\n{lines}\n\n{_RAISES}"
        return constructor

    return decorate


def resolve(layer: object, kind: type[T], given: T) -> T:
    """
    Return the options ``given`` to a constructor, and the defaults of all others.

    Raises:
        UnknownSetting: ``kind`` does not declare an option.
        ConfigurationError: The value of an option cannot work.
    """
    options = declarations(kind)
    for name in given:
        if name not in options:
            raise _unknown(type(layer), name, options)
    for name, value in given.items():
        check = options[name].check
        if check:
            check(name, value)
    return cast(T, {**{name: option.default for name, option in options.items()}, **given})


def select(kind: type[T], options: Mapping[str, object]) -> T:
    """Return those of ``options`` that ``kind`` declares."""
    known = declarations(kind)
    return cast(T, {name: value for name, value in options.items() if name in known})


def _unknown(layer_class: type, name: str, options: Mapping[str, Option]) -> UnknownSetting:
    import difflib  # takes a while, and is for errors only

    parameters = inspect.signature(layer_class).parameters.values()  # a subclass may have more
    own = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    known = list(dict.fromkeys([*own, *options]))
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"it has: {', '.join(known)}"
    return UnknownSetting(f"{layer_class.__name__} has no setting {name!r}; {hint}")
