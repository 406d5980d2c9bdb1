"""What is said of a routing, a consumer or a layer of the project that cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workers.processes import ROOT
from workers.exceptions import ConfigurationError
from workers.importing import hidden_package, import_path
from workers.routing import Router


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the package ``shop_of_test``; what it has imported is forgotten in the end."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    package = tmp_path / "shop_of_test"
    package.mkdir()
    (package / "__init__.py").touch()
    return package


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os\nimport nothing\n", r": No module named 'nothing' \({}, line 2\)$"),
        ("from os import nothing\n", r": cannot import name 'nothing' from 'os' \(.*\) \({}, line 1\)$"),
        ("\n\nx = (\n", r": SyntaxError: '\(' was never closed \({}, line 3\)$|: SyntaxError: .* \({}, line \d\)$"),
        ("nothing\n", r": NameError: name 'nothing' is not defined \({}, line 1\)$"),
        ("import os\nos.nothing\n", r": module 'os' has no attribute 'nothing' \({}, line 2\)$"),
        (
            "from workers import route\n\nr = [route('a', 'shop_of_test.b.c')]\n",
            r": cannot import consumer 'shop_of_test.b.c': No module named 'shop_of_test.b' \({}, line 3\)$",
        ),
        ("from workers import route\nr = [route('a', print, f='(b)')]\n", r"group without a name.* \({}, line 2\)$"),
    ],
)
def test_an_error_deep_in_the_project_is_told_with_its_line(project: Path, code: str, said: str) -> None:
    (project / "consumers.py").write_text(code)
    (project / "routing.py").write_text("from shop_of_test import consumers\nrouting = []\n")
    with pytest.raises(ConfigurationError, match=said.replace("{}", str(project / "consumers.py"))) as caught:
        Router("shop_of_test.routing.routing")
    assert str(caught.value).startswith("cannot import channel routing 'shop_of_test.routing.routing': ")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("shop_of_test.nothing.routing", "No module named 'shop_of_test.nothing'$"),
        ("shop_of_test.routing", "module 'shop_of_test' has no attribute 'routing'$"),
        ("shop_of_test", "write it as module.name$"),
        ("shop_of_test:", "write it as module.name$"),
        (".shop", "write it as module.name$"),
    ],
)
def test_a_path_that_leads_nowhere_has_no_line(project: Path, path: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        import_path(path, "channel routing")


def test_a_name_after_a_colon_may_have_dots() -> None:
    assert import_path("os:path.join", "function") is __import__("os").path.join


class TestAnotherPackageThatIsCalledWorkers:
    @pytest.mark.parametrize("path", ["workers.py", "workers/__init__.py", "workers/tasks.py"])
    def test_is_told_where_it_is_the_reason(self, path: str, project: Path) -> None:
        other = project.parent / path
        other.parent.mkdir(exist_ok=True)
        other.touch()
        (project / "routing.py").write_text("import workers.tasks\n")
        with pytest.raises(ConfigurationError, match=r"No module named 'workers\.tasks'") as caught:
            import_path("shop_of_test.routing.routing", "channel routing")
        assert f"{project.parent / Path(path).parts[0]} is hidden by " in str(caught.value)
        assert "rename that of the project" in str(caught.value)
        (project / "other.py").write_text("import nothing\n")
        with pytest.raises(ConfigurationError) as caught:
            import_path("shop_of_test.other.routing", "channel routing")
        assert "hidden" not in str(caught.value)

    def test_is_not_ours_nor_a_folder_of_other_things(self, project: Path) -> None:
        (project.parent / "workers").mkdir()
        (project.parent / "workers" / "notes.txt").touch()
        assert hidden_package() is None

    @pytest.mark.parametrize("path", ["workers.py", "workers/__init__.py"])
    def test_that_comes_first_is_told_by_the_script(self, path: str, tmp_path: Path) -> None:
        other = tmp_path / path
        other.parent.mkdir(exist_ok=True)
        other.touch()
        command = [sys.executable, "-c", "from asgi_redis.runworker import main; raise SystemExit(main())"]
        env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
        ended = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"runworker: error: {other} hides {ROOT / 'workers'}: ")
        assert len(ended.stderr.splitlines()) == 1
