"""The configuration of Sphinx for the site: ``tox -e docs`` builds it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The extensions of the site, the results of the benchmarks, and the packages where they are not installed.
sys.path[:0] = [str(ROOT / "docs" / "extensions"), str(ROOT)]

from django.conf import settings  # noqa: E402

from asgi_redis import __version__  # noqa: E402

# Modules for Django's settings look at some when they are documented.
settings.configure()

project = "asgi_redis"
copyright = "2026, the asgi_redis maintainers"
author = "the asgi_redis maintainers"
version = release = __version__

extensions = [
    "declarations",
    "sphinx.ext.autodoc",
    "sphinx.ext.extlinks",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "figures",
]
exclude_patterns = ["_build", "requirements*"]
nitpicky = True
# The site is built without a network, so other projects' documentation is not linked.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|contextlib|contextvars|django|enum|json|os|re|redis)\..*"),
    ("py:class", r"Deferred"),
    ("py:class", r"asgi_redis\..*\.[TF]|workers\.sessions\.Consumer|_Message"),  # variables and protocols of types
]

# ``:source:`setup.cfg``` is a file of the repository.
extlinks = {"source": ("https://github.com/django/asgi_redis/blob/main/%s", "%s")}
extlinks_detect_hardcoded_links = True

maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
copybutton_copy_empty_lines = False

html_theme = "furo"
html_title = f"asgi_redis {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": "https://github.com/django/asgi_redis/",
    "source_branch": "main",
    "source_directory": "docs/",
}

linkcheck_anchors = False  # GitHub and others make them by JavaScript
linkcheck_timeout = 20
linkcheck_retries = 2
# Addresses of the reader's own machine and of examples.
linkcheck_ignore = [
    r"https?://(127\.0\.0\.1|localhost|example\.com)",
    extlinks["source"][0].partition("%")[0],  # new files are there after a merge; tests look for them in the clone
]
