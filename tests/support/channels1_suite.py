"""
Runs the tests of Channels 1 on this package: ``python channels1_suite.py DIRECTORY``.

``DIRECTORY`` holds them, unpacked: ``tests`` of 1.1.8, or ``channels/tests`` of 1.0.3. They run in a copy with
``channels`` replaced by ``workers``, and with what Django, asgiref and Python have changed since. Prints a line of
JSON at the end: "passed", or the error, for each test function.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
import tempfile
import unittest
import warnings
from pathlib import Path
from typing import Any

REPLACEMENTS = [
    (r"'channels\.delay',?", ""),  # an application with a table; here the workers themselves delay messages
    (r"from channels\.tests import", "from channels.test import"),  # its name since 1.1
    (r"channels\.tests\.(?=http|base)", "channels.test."),
    (r"channels\.tests\.", "tests."),
    (r"(?<!\.)\bchannels\b", "workers"),
    # asgiref
    (r"asgiref\.inmemory\.ChannelLayer", "asgi_redis.InMemoryChannelLayer"),
    (r"from asgiref\.inmemory import ChannelLayer", "from asgi_redis import InMemoryChannelLayer as ChannelLayer"),
    # Django
    (r"from django\.utils import six\n", ""),
    (r"from six import", "from io import"),
    (r"six\.text_type", "str"),
    (r"from django\.test import TestCase, mock", "from django.test import TestCase\nfrom unittest import mock"),
]
COPIED_HELPERS = ("base.py", "http.py")  # of 1.0.3, which had them among the tests


class Outcomes(unittest.TextTestResult):
    """Remembers every outcome by the name of its test."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by_name: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.by_name[test.id()] = "passed"

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._note(test, err)

    def _note(self, test: unittest.TestCase, err: Any) -> None:
        lines = [line for line in str(err[1]).strip().splitlines() if line.strip()] or [""]
        at_import = isinstance(test, unittest.loader._FailedTest)  # whose message is a traceback
        self.by_name[test.id()] = lines[-1] if at_import else f"{err[0].__name__}: {lines[0]}"


def ported(directory: str, home: Path) -> Path:
    """Copy the tests to ``home/tests`` with everything replaced."""
    copy = home / "tests"
    shutil.copytree(directory, copy)
    if (copy / COPIED_HELPERS[0]).exists():
        for name in ("__init__.py", *COPIED_HELPERS):
            (copy / name).write_text("")
    for path in copy.rglob("*.py"):
        text = path.read_text()
        for pattern, new in REPLACEMENTS:
            text = re.sub(pattern, new, text)
        path.write_text(text)
    return copy


def functions(copy: Path) -> dict[str, list[str]]:
    """Return the names of the test functions of each module."""
    return {
        f"tests.{path.stem}": [
            f"{cls.name}.{function.name}"
            for cls in ast.parse(path.read_text()).body
            if isinstance(cls, ast.ClassDef)
            for function in cls.body
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
        ]
        for path in sorted(copy.glob("test_*.py"))
    }


def run(modules: list[str]) -> dict[str, str]:
    """Run the tests of modules; return the outcomes."""
    import django
    from django.test.runner import DiscoverRunner

    class Runner(DiscoverRunner):
        def get_resultclass(self) -> type[Outcomes]:
            return Outcomes

        def run_checks(self, databases: Any) -> None:
            """Nothing: the admin wants templates today, which the tests do without."""

        def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> Any:
            return result.by_name

    django.setup()
    outcomes: dict[str, str] = Runner(verbosity=0).run_tests(modules)
    return outcomes


def main(directory: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        copy = ported(directory, Path(home))
        sys.path[0] = home
        os.chdir(home)
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        warnings.simplefilter("ignore")
        by_module = functions(copy)
        outcomes = run(list(by_module))
    by_function = {}
    for module, names in by_module.items():
        at_import = outcomes.get(f"unittest.loader._FailedTest.{module.rpartition('.')[2]}")
        for name in names:
            by_function[f"{module}.{name}"] = outcomes.get(f"{module}.{name}", at_import or "not run")
    sys.stdout.write(f"{json.dumps(by_function)}\n")
    sys.stdout.flush()
    os._exit(0)  # some tests leave threads behind that would never end


if __name__ == "__main__":
    main(*sys.argv[1:])
