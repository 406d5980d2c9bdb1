"""gevent's patches come first, by whichever way the worker is started; each test is a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.workers.processes import ROOT
from workers.command import patching

pytest.importorskip("gevent")


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--pool", "gevent"], True),
        (["--pool=gevent", "x"], True),
        (["--pool", "thread"], False),
        (["--only-channels", "gevent"], False),
        (["--pool"], False),
        ([], False),
    ],
)
def test_the_pool_is_seen_before_the_arguments_are_parsed(arguments: list[str], wanted: bool) -> None:
    assert patching.is_wanted(arguments) is wanted


def test_nothing_that_matters_is_imported_before_the_patches() -> None:
    """Nothing of ours but what does the patching, and nothing that gevent would warn of."""
    code = """
        import sys
        sys.argv = ["runworker", "--pool", "gevent", "--layer-url", "redis://127.0.0.1:1", "--routing", "no.such"]
        import workers.__main__
        ours = sorted(name for name in sys.modules if name.partition(".")[0] in ("workers", "asgi_redis", "redis"))
        lazy = ["asgi_redis", "asgi_redis.process", "asgi_redis.process.lazy", "asgi_redis.process.version"]
        assert ours == [*lazy, "workers", "workers.__main__", "workers.command", "workers.command.patching"], ours
        assert not {"ssl", "threading", "selectors", "queue"} & set(sys.modules)
        assert workers.__main__.main() == 1
        assert workers.command.patching.unpatched() == []
        assert workers.command.patching.left_behind() == []
    """
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert "no.such" in done.stderr
    assert "Warning" not in done.stderr


def test_what_was_taken_before_the_patches_is_found_and_refused() -> None:
    code = """
        import sys
        import workers.worker
        from gevent import monkey
        monkey.patch_all()
        from workers.command.patching import left_behind
        assert "workers.worker.SimpleQueue" in left_behind(), left_behind()
        from workers.command.cli import main
        routing = "tests.support.workers.consumers.routing"
        sys.exit(main(["--pool", "gevent", "--layer-url", "redis://127.0.0.1:1", "--routing", routing]))
    """
    done = run(code)
    assert done.returncode == 1
    assert "too late" in done.stderr
    assert "Traceback" not in done.stderr


def test_patches_that_leave_something_out_are_refused() -> None:
    code = """
        import sys
        from gevent import monkey
        monkey.patch_all(thread=False)
        from workers.command.cli import main
        routing = "tests.support.workers.consumers.routing"
        sys.exit(main(["--pool", "gevent", "--layer-url", "redis://127.0.0.1:1", "--routing", routing]))
    """
    done = run(code)
    assert done.returncode == 1
    assert "threading" in done.stderr


def test_without_gevent_the_extra_is_named() -> None:
    code = """
        import sys
        sys.modules["gevent"] = None
        sys.argv = ["runworker", "--pool", "gevent"]
        from workers.__main__ import main
        sys.exit(main())
    """
    done = run(code)
    assert done.returncode == 1
    assert done.stderr == 'runworker: error: the gevent pool needs gevent: pip install "asgi_redis[gevent]"\n'


@pytest.mark.parametrize("flags", [[], ["-X", "dev", "-W", "ignore"]])
@pytest.mark.parametrize("way", ["script", "module"])
def test_a_program_is_started_again_with_its_arguments_and_flags_but_once(
    tmp_path: Path, way: str, flags: list[str]
) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from workers.command import patching
            if patching.unpatched():
                print("again", flush=True)
                patching.restart_patched()
            print(__name__, sys.argv[1:], sys.flags.dev_mode, patching.left_behind())
            """
        )
    )
    program = [str(script)] if way == "script" else ["-m", "program"]
    done = subprocess.run(
        [sys.executable, *flags, *program, "--flag", "a b"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == f"again\n__main__ ['--flag', 'a b'] {bool(flags)} []\n", done.stderr


def test_a_program_started_again_finds_the_modules_beside_it_from_any_directory(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    (project / "beside.py").write_text("")
    (elsewhere / "unwanted.py").write_text("")
    (project / "program.py").write_text(
        textwrap.dedent(
            """
            import sys
            from importlib.util import find_spec
            from workers.command import patching
            if patching.unpatched():
                sys.path.insert(0, "a directory of the program's own")
                patching.restart_patched()
            import beside
            print(find_spec("unwanted"))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "../project/program.py"],
        cwd=elsewhere,
        env={"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "None\n", done.stderr


def test_a_restart_that_does_not_help_is_not_repeated() -> None:
    done = run("""
        import os
        os.environ["ASGI_REDIS_RESTARTED_FOR_GEVENT"] = "1"
        from workers.command import patching
        patching.restart_patched()
    """)
    assert done.returncode == 1
    assert "and yet not patched: socket" in done.stderr
