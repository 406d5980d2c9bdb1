"""How-to guides as their readers use them: the files of a section, put into a project, and its other code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.documents import files
from tests.support.documents.pages import Block, Page, Prose
from tests.support.workers.processes import WorkerProcess

ROOT = Path(__file__).parents[2]
REDIS = "redis://localhost:6379/0"
SETTINGS_FILE = "mysite/settings.py"
SETTINGS = """\
from pathlib import Path

BASE_DIR = Path(__file__).parents[1]
SECRET_KEY = "secret"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
LOGGING_CONFIG = None
"""
MANAGE = """\
import os
import sys
from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
execute_from_command_line(sys.argv)
"""
WSGI = """\
import os
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_wsgi_application()
"""
HEADING = re.compile(r"(.+) -{3,}")


class Guide:
    """A page of ``docs/howto``, or with ``section`` what stands under this heading."""

    def __init__(self, name: str, section: str = "") -> None:
        self.parts: list[Prose | Block] = []
        under = ""
        for part in Page(ROOT / "docs" / "howto" / name).parts:
            heading = HEADING.fullmatch(part.text) if isinstance(part, Prose) else None
            under = heading[1] if heading else under
            if section in ("", under):
                self.parts.append(part)
        assert self.parts, f"{name} has no section {section!r}"

    @property
    def prose(self) -> str:
        return " ".join(part.text for part in self.parts if isinstance(part, Prose))

    def blocks(self, language: str = "") -> list[Block]:
        return [part for part in self.parts if isinstance(part, Block) and language in ("", part.language)]

    def code(self, *words: str, language: str = "") -> str:
        """Return the one block that has all of these words in it."""
        (found,) = [block.text for block in self.blocks(language) if all(word in block.text for word in words)]
        return found

    def commands(self) -> list[str]:
        """Return what stands behind the prompts of its consoles, with continued lines joined."""
        text = "".join(block.text for block in self.blocks("console")).replace("\\\n", " ")
        return [line[2:] for line in text.splitlines() if line.startswith("$ ")]


class Project:
    """A Django project in ``folder``, with the files of guides in it."""

    def __init__(self, folder: Path, redis_url: str, **environment: str) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **environment,
        }
        for name, text in {
            "manage.py": MANAGE,
            "mysite/__init__.py": "",
            SETTINGS_FILE: SETTINGS,
            "mysite/wsgi.py": WSGI,
            "mysite/urls.py": "urlpatterns = []\n",
        }.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        files.apply(name, text.replace(REDIS, self.redis_url), self.folder)

    def add(self, guide: Guide) -> Project:
        """Write and change the files that its captions name. A block of the settings shows a part of them."""
        for block in guide.blocks():
            if block.caption == SETTINGS_FILE:
                self.write(f"{SETTINGS_FILE} (add at the end)", block.text)
            elif block.caption:
                self.write(block.caption, block.text)
        return self

    def run(self, *command: str, code: int = 0, timeout: float = 150, **environment: str) -> str:
        """Run a command in the project; return what it has printed."""
        done = subprocess.run(
            [sys.executable if word == "python" else word for word in command],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == code, f"{done.returncode}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @contextmanager
    def running(self, *command: str, **environment: str) -> Iterator[WorkerProcess]:
        """A command that runs in the project meanwhile."""
        words = [sys.executable if word == "python" else word for word in command]
        with WorkerProcess(words, self.folder, self.folder, {**self.environment, **environment}) as process:
            yield process
