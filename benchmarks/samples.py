"""Everything that was measured, sample by sample."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any

from .subjects import Subject
from .workloads import Workload

ByFigure = dict[str, list[float]]


class Samples:
    """The samples of each subject's figures in each workload, and the errors."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, str], ByFigure] = defaultdict(lambda: defaultdict(list))
        self.errors: dict[tuple[str, str], str] = {}

    def add(self, workload: Workload, subject: Subject, answer: dict[str, Any]) -> None:
        """Add the answer of a process."""
        if "error" in answer:
            self.errors[workload.name, subject.key] = answer["error"]
        else:
            for figure, value in answer.items():
                self.samples[workload.name, subject.key][figure].append(value)

    def median(self, workload: Workload, subject: str, figure: str) -> float | None:
        """Return the median of a figure, or None where there are no samples."""
        samples = self.samples.get((workload.name, subject), {}).get(figure)
        return median(samples) if samples else None

    @classmethod
    def from_json(cls, measured: list[dict[str, Any]]) -> Samples:
        """Return the results of a ``to_json``."""
        results = cls()
        for one in measured:
            key = (one["workload"], one["subject"])
            if "error" in one:
                results.errors[key] = one["error"]
            else:
                results.samples[key] = one["samples"]
        return results

    def to_json(self) -> list[dict[str, Any]]:
        """Every sample."""
        measured = [
            {"workload": name, "subject": subject, "samples": samples}
            for (name, subject), samples in self.samples.items()
        ]
        return measured + [
            {"workload": name, "subject": subject, "error": error} for (name, subject), error in self.errors.items()
        ]
