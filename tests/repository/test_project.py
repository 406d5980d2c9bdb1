"""What surrounds the code: tox, workflows, hooks, dependabot and metadata agree, and name what there is."""

from __future__ import annotations

import configparser
import datetime
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import asgi_redis

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ADVISORY = "https://github.com/django/asgi_redis/security/advisories/new"


def load(path: str | Path) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def ini(path: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",))
    parsed.read(ROOT / path)
    return parsed


def expanded(name: str) -> list[str]:
    """``py{39,310}`` as the names that it stands for."""
    parts = [part.split(",") for part in re.split(r"[{}]", name)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def dotted(digits: str) -> str:
    """``313`` or ``42`` as 3.13 or 4.2."""
    return f"{digits[0]}.{digits[1:]}"


def jobs() -> dict[str, dict[str, Any]]:
    return {f"{path.stem}: {name}": job for path in WORKFLOWS for name, job in load(path)["jobs"].items()}


TOX = ini("tox.ini")
SETUP = ini("setup.cfg")
ENVIRONMENTS = [name for line in TOX["tox"]["env_list"].split() for name in expanded(line)]
MATRIX = {entry["env"]: entry["python"] for entry in jobs()["tests: tox"]["strategy"]["matrix"]["include"]}


def claimed(kind: str) -> list[str]:
    """The versions in the classifiers that begin with ``kind``."""
    return re.findall(rf"^{re.escape(kind)} :: (\d+\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)


def with_environment(pattern: str) -> list[str]:
    """The versions in the names of tox's environments."""
    found = [re.fullmatch(pattern, name) for name in ENVIRONMENTS]
    return [dotted(match.group(1)) for match in found if match]


def test_the_versions_of_python_are_the_same_everywhere():
    versions = claimed("Programming Language :: Python")
    assert versions == with_environment(r"py(\d+)")
    assert SETUP["options"]["python_requires"] == f">={versions[0]}"
    assert f'target-version = "py{versions[0].replace(".", "")}"' in (ROOT / "ruff.toml").read_text()


def test_the_versions_of_django_are_the_same_everywhere():
    versions = claimed("Framework :: Django")
    assert versions == with_environment(r"py312-django(\d+)")
    assert SETUP["options.extras_require"]["django"].strip() == f"Django >= {versions[0]}"
    pins = re.findall(r"django(\d+): Django ~= ([\d.]+)\.0$", (ROOT / "tox.ini").read_text(), re.MULTILINE)
    assert [(dotted(digits), pin) for digits, pin in pins] == [(version, version) for version in versions]


def test_the_workflow_runs_every_environment_of_tox_on_its_python():
    assert sorted(MATRIX) == sorted(ENVIRONMENTS)
    for name, python in MATRIX.items():
        section = f"testenv:{name}"
        in_name = re.match(r"py(\d+)", name)
        digits = in_name.group(1) if in_name else TOX[section]["base_python"].strip()[2:]
        assert python == dotted(digits), name


def test_the_site_is_built_on_one_version_of_python():
    assert load(".readthedocs.yaml")["build"]["tools"]["python"] == MATRIX["docs"]


def test_the_workflow_runs_the_suite_on_every_line_of_servers():
    images = jobs()["tests: servers"]["strategy"]["matrix"]["image"]
    lines = [re.sub(r"^valkey/|\..*", "", image) for image in images]
    assert lines == ["redis:6", "redis:7", "redis:8", "valkey:8", "valkey:9"]


def test_environments_with_a_browser_may_use_its_sandbox():
    with_browser = [
        name
        for name in ENVIRONMENTS
        for file in re.findall(r"-r (\S+)", TOX.get(f"testenv:{name}", "deps", fallback=""))
        if "selenium" in (ROOT / file).read_text()
    ]
    (step,) = [step for step in jobs()["tests: tox"]["steps"] if "apparmor" in step.get("run", "")]
    assert sorted(re.findall(r"matrix\.env == '(\w+)'", step["if"])) == sorted(with_browser)


@pytest.mark.parametrize("text", ["tox.ini", ".ci/run", ".ci/lint", *[str(path) for path in WORKFLOWS]])
def test_files_that_commands_name_are_there(text):
    source = re.sub(r"\$\{\{.*?\}\}|(?m:^ *#.*)", "", (ROOT / text).read_text())
    named = re.findall(r"(?<![\w/.*-])((?:\.ci|\.github|docs|tests|examples|benchmarks)/[\w./-]*\w)", source)
    named = [name for name in named if not name.startswith(("docs/_build", ".ci/artifacts"))]
    assert [name for name in named if not (ROOT / name).exists()] == []
    if text in ("tox.ini", ".ci/run"):
        assert "tests/browser/requirements.txt" in named


def test_dependabot_looks_where_there_are_requirements():
    by_kind = {entry["package-ecosystem"]: entry for entry in load(".github/dependabot.yml")["updates"]}
    looked_at = {directory.strip("/") for directory in by_kind["pip"]["directories"]}
    there = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/**/requirements.txt")}
    there = {folder for folder in there if not folder.startswith((".", "build", "dist"))}
    assert looked_at == (there | {"", ".ci"}) - {"tests/channels1"}
    assert by_kind["github-actions"]["directory"] == "/"


def test_actions_are_pinned_to_commits_of_one_version_each():
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for used in re.findall(r"uses: (.*)", path.read_text()):
            if used.startswith("./"):
                assert (ROOT / used.split()[0]).is_file()
                continue
            match = re.fullmatch(r"([\w/-]+)@([0-9a-f]{40}  # v\d+\.\d+\.\d+)", used)
            assert match, f"{path.name}: {used}"
            pins.setdefault(match.group(1), set()).add(match.group(2))
    assert "pypa/gh-action-pypi-publish" in pins
    assert [name for name, versions in pins.items() if len(versions) > 1] == []


def test_jobs_may_do_no_more_than_they_need():
    assert load(".github/workflows/tests.yml")["permissions"] == {"contents": "read"}
    assert load(".github/workflows/release.yml")["permissions"] == {}
    granted = {name: job["permissions"] for name, job in jobs().items() if "permissions" in job}
    writing = {name: rights for name, rights in granted.items() if "write" in rights.values()}
    assert writing == {"release: publish": {"id-token": "write"}}
    assert "secrets." not in "".join(path.read_text() for path in WORKFLOWS)


def test_jobs_end_some_time_and_releases_wait_for_the_tests():
    assert [name for name, job in jobs().items() if "uses" not in job and "timeout-minutes" not in job] == []
    release = load(".github/workflows/release.yml")["jobs"]
    assert release["build"]["needs"] == "tests"
    assert release["publish"]["needs"] == "build"
    assert release["publish"]["environment"]["name"] == "pypi"


def test_hooks_use_the_versions_of_the_lint_step():
    lint = [line for line in (ROOT / ".ci" / "lint.txt").read_text().splitlines() if not line.startswith("#")]
    hooks = {
        hook["id"]: hook["additional_dependencies"] for hook in load(".pre-commit-config.yaml")["repos"][0]["hooks"]
    }
    tools = ("check-jsonschema", "pre-commit", "ruff", "zizmor")
    assert set(hooks["mypy"]) == {line for line in lint if not line.startswith(tools)}
    others = itertools.chain(*[names for hook, names in hooks.items() if hook != "mypy"])
    assert set(others) - set(lint) == {"pre-commit-hooks ~= 6.0"}


def test_the_changelog_has_this_version_first_of_the_released_ones():
    text = (ROOT / "CHANGELOG.rst").read_text()
    headings = re.findall(r"^(\S+)(?: \((.*)\))?\n-{5,}$", text, re.MULTILINE)
    assert [heading for heading, _ in headings[:2]] == ["Unreleased", asgi_redis.__version__]
    assert all(datetime.date.fromisoformat(date) for _, date in headings[1:-1])
    older = re.findall(r"^(1\.\d\.\d) \((\d{4}-\d\d-\d\d)\)$", text, re.MULTILINE)
    assert older[0] == ("1.4.3", "2017-09-14")
    assert older == sorted(older, key=lambda release: release[1], reverse=True)


def test_vulnerabilities_are_reported_by_one_form():
    pages = [
        "SECURITY.md",
        "CODE_OF_CONDUCT.md",
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/ISSUE_TEMPLATE/config.yml",
    ]
    assert [page for page in pages if ADVISORY not in (ROOT / page).read_text()] == []
