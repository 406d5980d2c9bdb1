"""
gevent's patches of the standard library, in time or not at all.

They have to come before anything else is imported, for what a module has taken from the standard library stays what
it was. So this module imports nothing that matters, and ``workers`` imports nothing by itself.
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Sequence

# What the worker and redis-py wait with. patch_all patches more.
_NEEDED = ("socket", "ssl", "select", "threading", "time", "queue", "os", "signal")
# Whose modules must not hold on to what was patched after they were imported.
_PACKAGES = ("asgi_redis", "workers", "redis", "django", "channels")
_RESTARTED = "ASGI_REDIS_RESTARTED_FOR_GEVENT"
# ``python -m gevent.monkey``, but with the folder that the interpreter itself would look for modules in.
_START = (
    "import runpy, sys; folder = sys.argv.pop(1); sys.path[:] = [path or folder for path in sys.path]; "
    "runpy.run_module('gevent.monkey', run_name='__main__', alter_sys=True)"
)

PROCESS = "ASGI_REDIS_PROCESS"  # set where a supervisor has started this process as one of several
MISSING = 'the gevent pool needs gevent: pip install "asgi_redis[gevent]"'


def is_wanted(arguments: Sequence[str]) -> bool:
    """Whether command-line arguments ask for the pool that needs the patches, in this process."""
    supervises = _last(arguments, "--processes") not in (None, "1") and PROCESS not in os.environ
    return _last(arguments, "--pool") == "gevent" and not supervises


def _last(arguments: Sequence[str], flag: str) -> str | None:
    """Returns the value of a flag, as argparse will find it."""
    value = None
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        if argument == flag:
            value = following
        elif argument.startswith(f"{flag}="):
            value = argument[len(flag) + 1 :]
    return value


def patch() -> None:
    """Patches the standard library, unless that was done. Raises ``ImportError`` when gevent is not installed."""
    from gevent import monkey

    if unpatched():
        monkey.patch_all()


def unpatched() -> list[str]:
    """Returns the modules of the standard library that ought to be patched and are not."""
    monkey = sys.modules.get("gevent.monkey")
    return [name for name in _NEEDED if monkey is None or not monkey.is_module_patched(name)]


def left_behind() -> list[str]:
    """Returns what modules have taken from the standard library before it was patched, as ``module.name``."""
    from gevent.monkey import get_original

    patched = ((name, key, value) for name in _NEEDED for key, value in vars(sys.modules[name]).items())
    originals = {
        id(original)
        for name, key, value in patched
        for original in [get_original(name, key)]
        if callable(original) and original is not value
    }
    # gevent leaves some of _thread as it is; a module that takes it from there means it.
    originals -= set(map(id, vars(_thread).values()))
    return [
        f"{name}.{key}"
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] in _PACKAGES
        for key, value in sorted(vars(module).items())
        if id(value) in originals
    ]


def restart_patched() -> None:
    """
    Starts this Python program again, with the same arguments, under gevent's patches. Does not return.

    Raises ``RuntimeError`` when that has been done already.
    """
    if os.environ.pop(_RESTARTED, None):
        raise RuntimeError(f"started under gevent's patches, and yet not patched: {', '.join(unpatched())}")
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        folder, program = os.path.dirname(os.path.realpath(sys.argv[0])), [sys.argv[0]]  # noqa: PTH120
    else:
        # Started by ``python -m``, whose argument becomes the path of a file in sys.argv.
        name = spec.name
        program = ["--module", name[: -len(".__main__")] if name.endswith(".__main__") else name]
        folder = os.getcwd()  # noqa: PTH109
    # The one way to the interpreter's own flags, such as -X dev; the standard library's, for its subprocesses.
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    from workers.runtime.stopping import flush_std_streams

    command = [sys.executable, *_args_from_interpreter_flags(), "-c", _START, folder, *program, *sys.argv[1:]]
    flush_std_streams()
    os.execve(sys.executable, command, {**os.environ, _RESTARTED: "1"})  # noqa: S606  no shell is the point
