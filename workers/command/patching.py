"""
gevent's patches of the standard library, before anything else is imported.

Modules that are imported before keep the unpatched functions. So this module imports nothing that gevent patches, and
``workers`` imports nothing by itself.
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

# The worker and redis-py wait in these; patch_all patches more.
_NEEDED = ("socket", "ssl", "select", "threading", "time", "queue", "os", "signal")
# Their modules must not have been imported before the patches.
_PACKAGES = ("asgi_redis", "workers", "redis", "django", "channels")
_RESTARTED = "ASGI_REDIS_RESTARTED_FOR_GEVENT"
# ``python -m gevent.monkey``, but with the program's folder on sys.path, as the interpreter itself would have it.
_START = (
    "import runpy, sys; folder = sys.argv.pop(1); sys.path[:] = [path or folder for path in sys.path]; "
    "runpy.run_module('gevent.monkey', run_name='__main__', alter_sys=True)"
)

PROCESS_VARIABLE = "ASGI_REDIS_PROCESS"  # set by a supervisor for the processes that it starts
MISSING = 'the gevent pool needs gevent: pip install "asgi_redis[gevent]"'


def is_wanted(arguments: Sequence[str]) -> bool:
    """Return whether command-line arguments ask for the gevent pool, in this process."""
    supervises = _last(arguments, "--processes") not in (None, "1") and PROCESS_VARIABLE not in os.environ
    return _last(arguments, "--pool") == "gevent" and not supervises


def _last(arguments: Sequence[str], flag: str) -> str | None:
    """Return the value of a flag, as argparse will find it."""
    value = None
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        if argument == flag:
            value = following
        elif argument.startswith(f"{flag}="):
            value = argument[len(flag) + 1 :]
    return value


def patch() -> None:
    """Patch the standard library, unless that was done; raise ``ImportError``."""
    from gevent import monkey

    if unpatched():
        monkey.patch_all()


def unpatched() -> list[str]:
    """Return the modules that have to be patched and are not."""
    monkey = sys.modules.get("gevent.monkey")
    return [name for name in _NEEDED if monkey is None or not monkey.is_module_patched(name)]


def left_behind() -> list[str]:
    """Return the unpatched functions that modules still hold, as ``module.name``."""
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


def restart_patched() -> NoReturn:
    """
    Replace this process by the same program, under gevent's patches.

    Raises ``RuntimeError`` when that was done before, and has not helped.
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
    # The interpreter's own flags, such as -X dev; subprocess has them for multiprocessing, and nothing public does.
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    from workers.runtime.stopping import replace_process

    flags = _args_from_interpreter_flags()
    replace_process([sys.executable, *flags, "-c", _START, folder, *program, *sys.argv[1:]], {_RESTARTED: "1"})
