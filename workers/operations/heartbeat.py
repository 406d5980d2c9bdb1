"""``--heartbeat-file``: a file whose modification time says that the worker pulls, for a liveness probe."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from workers.duties import Duty
from workers.exceptions import ConfigurationError
from workers.operations.liveness import pulls

if TYPE_CHECKING:
    from workers.worker import Worker

logger = logging.getLogger(__name__)


class Heartbeat(Duty):
    """
    Touches the file at ``path`` twice a second while the worker pulls, until it begins to stop.

    Raises ``ConfigurationError`` when it cannot.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._fails = False
        try:
            self._path.touch()
        except OSError as error:
            raise ConfigurationError(f"cannot touch the heartbeat file: {error}") from error

    def check(self, worker: Worker) -> None:
        """Touches the file, if the worker pulls."""
        if not pulls(worker):
            return
        try:
            self._path.touch()
        except OSError as error:
            if not self._fails:
                logger.error("Cannot touch the heartbeat file: %s", error)
            self._fails = True
        else:
            self._fails = False
