"""A terminal of a reader: a shell in a folder, with one command at a time."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.documents.transcripts import INTERRUPT, Entry, pattern_of
from tests.support.waiting import eventually

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.01
REPEAT_SECONDS = 1.1  # between two Ctrl-C; within a second a worker takes them for the same

# What a shell has learnt (folder, variables) stands in a file for its next command.
SHELL = (
    'if [ -e "$STATE" ]; then . "$STATE"; fi\n%s\ncode=$?; { export -p; echo "cd \'$PWD\'"; } > "$STATE"; exit $code'
)


class Terminal:
    """
    Runs commands, and compares what they write with what the page shows.

    Its processes have a session of their own, as they would have in a terminal, so that Ctrl-C reaches all of them.
    """

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str], records: Path) -> None:
        self.name = name
        self._folder = folder
        self._log = records / f"{name}.log"
        self._environment = {**environment, "STATE": str(records / f"{name}.state")}
        self._process: subprocess.Popen[bytes] | None = None
        self._compared = 0  # of the output, which the page has shown up to there
        self._interrupted = 0.0

    @property
    def output(self) -> str:
        """What the last command has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def folder(self) -> Path:
        """Where the shell was when its last command had ended."""
        state = Path(self._environment["STATE"])
        return Path(state.read_text().splitlines()[-1][4:-1]) if state.exists() else self._folder

    @property
    def busy(self) -> bool:
        """Whether a command runs."""
        return self._process is not None

    def follow(self, entry: Entry) -> None:
        """Do what the entry says, and see what it shows."""
        if entry.typed == INTERRUPT:
            self._interrupt()
        elif entry.typed:
            self._start(entry.typed)
        assert self.busy, f"{entry.place}: this is output, and no command runs in {self.name}"
        if entry.goes_on:
            self._await_output(entry)
        else:
            self._await_end(entry)

    def close(self) -> None:
        """End what still runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _start(self, command: str) -> None:
        assert not self.busy, f"{self.name} still runs a command: $ {command}"
        self._compared = 0
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", SHELL % command],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_obey_ctrl_c,
            )

    def _interrupt(self) -> None:
        assert self._process is not None, f"no command runs in {self.name}"
        time.sleep(max(0.0, self._interrupted + REPEAT_SECONDS - time.monotonic()))
        self._interrupted = time.monotonic()
        os.killpg(self._process.pid, signal.SIGINT)

    def _await_output(self, entry: Entry) -> None:
        assert self._process is not None
        wanted = re.compile(rf"^{pattern_of(entry.output)}", re.MULTILINE)

        found = None
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._explained(entry):
            while found is None:
                assert time.monotonic() < deadline, f"not shown within {PATIENCE_SECONDS:g} s"
                ended = self._process.poll() is not None
                found = wanted.search(self.output, self._compared)
                assert found or not ended, "the command has ended"
                time.sleep(POLL_SECONDS)
            self._compared = found.end()

    def _await_end(self, entry: Entry) -> None:
        assert self._process is not None
        with self._explained(entry):
            try:
                code = self._process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                raise AssertionError("it goes on, and the page shows no ^C after it") from None
            eventually(self._has_ended, PATIENCE_SECONDS, interval=0.01)
            self._process = None
            rest = self.output[self._compared :]
            rest = rest if not rest or rest.endswith("\n") else f"{rest}\n"
            if entry.typed not in ("", INTERRUPT):
                assert code == 0, f"exit code {code}"
                assert re.fullmatch(pattern_of(entry.output), rest), "another output"
            else:
                assert re.search(rf"^{pattern_of(entry.output)}", rest, re.MULTILINE), "another output"

    def _has_ended(self) -> bool:
        """Whether no process of the command is left."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    @contextlib.contextmanager
    def _explained(self, entry: Entry) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            shown = "\n".join(entry.output)
            raise AssertionError(
                f"{entry.place}: {self.name}: {error}\n$ {entry.typed}\n"
                f"--- the page shows\n{shown}\n--- and it was\n{self.output}"
            ) from None


def _obey_ctrl_c() -> None:
    """Undo what a shell does to the processes that it runs in the background: they ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
