"""What a mule of uWSGI runs: it is forked from the master, where the application was loaded."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.forks.preloaded import report

path = Path(os.environ["MULE_REPORTS"])
(path / f"{os.getpid()}.part").write_text(report(f"mule{os.getpid()}"))
(path / f"{os.getpid()}.part").rename(path / f"{os.getpid()}.json")
signal.pause()  # the master would start another
