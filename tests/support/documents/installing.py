"""
``pip install`` without a network: ``installing.py REQUIREMENT...`` fills the environment of ``VIRTUAL_ENV``.

It installs what pip would: the packages that are required, those that they require, and no others. But it links them
from the environment that runs this file, and this package from the checkout.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[3]
SCRIPT = "#!{python}\nimport sys\nfrom {module} import {name}\nsys.exit({call}())\n"


def required(requirements: Iterable[Requirement]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions that the requirements lead to, by their names."""
    # Python 3.9 finds a distribution only by the name of its folder.
    installed = {canonicalize_name(one.metadata["Name"]): one for one in importlib.metadata.distributions()}
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(requirements)
    done = set()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in done:
            continue
        done.add(str(wanted))
        distribution = installed[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(distribution.version, prereleases=True), f"{wanted}: {distribution.version}"
        found[canonicalize_name(wanted.name)] = distribution
        known = {canonicalize_name(extra) for extra in distribution.metadata.get_all("Provides-Extra") or ()}
        assert {canonicalize_name(extra) for extra in wanted.extras} <= known, f"{wanted}: there is no such extra"
        for text in distribution.requires or ():
            requirement = Requirement(text)
            extras = wanted.extras or {""}
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(requirement)
    return found


def link(distribution: importlib.metadata.Distribution, site_packages: Path) -> None:
    """Link the packages and modules of a distribution."""
    for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        target = Path(str(distribution.locate_file(name)))
        if name.endswith(".pth") or not target.exists() or (site_packages / name).exists():
            continue
        (site_packages / name).symlink_to(target)


def write_scripts(distribution: importlib.metadata.Distribution, folder: Path) -> None:
    """Write the commands of a distribution."""
    for point in distribution.entry_points:
        if point.group == "console_scripts":
            module, _, call = point.value.partition(":")
            path = folder / point.name
            path.write_text(
                SCRIPT.format(python=folder / "python", module=module, name=call.partition(".")[0], call=call)
            )
            path.chmod(0o755)


def main(environment: Path, requirements: list[str]) -> None:
    """Fill the environment, and say so as pip does."""
    (site_packages,) = environment.glob("lib/python*/site-packages")
    distributions = required(map(Requirement, requirements))
    for name, distribution in distributions.items():
        if name == "asgi-redis":
            for package in ("asgi_redis", "workers"):
                (site_packages / package).symlink_to(CHECKOUT / package)
        link(distribution, site_packages)
        write_scripts(distribution, environment / "bin")
    names = sorted(f"{one.metadata['Name']}-{one.version}" for one in distributions.values())
    sys.stdout.write(f"Successfully installed {' '.join(names)}\n")


if __name__ == "__main__":
    main(Path(os.environ["VIRTUAL_ENV"]), sys.argv[1:])
