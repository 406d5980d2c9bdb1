"""The flags of the worker, each declared once: as a field of ``WorkerOptions``."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from workers.asgi import DEFAULT_CHANNEL_LAYER
from workers.runtime.stopping import ExitCode

if TYPE_CHECKING:
    from typing_extensions import Self

Number = TypeVar("Number", int, float)

# Greater numbers are mistakes: no process has so many threads, and no timeout of the system is that long.
MAX_SLOTS = 100_000
MAX_THREADS = 10_000
MAX_PROCESSES = 256
LONGEST_SECONDS = 1_000_000.0
MAX_MESSAGES = 1_000_000_000_000
MAX_BYTES = 1 << 50

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class _SlotsAction(argparse.Action):
    """Stores a value, and refuses ``--threads`` with gevent or ``--concurrency``."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        setattr(namespace, self.dest, values)
        if namespace.threads and (namespace.concurrency or namespace.pool == "gevent"):
            parser.error("--threads N means --pool thread --concurrency N: give one or the other")


def _limit(text: str) -> tuple[str, int]:
    glob, _, number = text.rpartition("=")
    if not glob:
        raise argparse.ArgumentTypeError(f"CHANNEL=N is wanted, not {text!r}")
    return glob, _between(1, MAX_SLOTS, int)(number)


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)([KMG]?)", text, re.ASCII | re.IGNORECASE)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if not 1 <= size <= MAX_BYTES:
        raise argparse.ArgumentTypeError(
            f"bytes, or a number with K, M or G as in 512M, up to {MAX_BYTES >> 30:,}G, are wanted, not {text!r}"
        )
    return size


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    # An IPv6 address comes in brackets.
    host = host.strip("[]") or "127.0.0.1"
    if not (re.fullmatch(r"\d{1,5}", port, re.ASCII) and int(port) < 1 << 16 and re.fullmatch(r"[\w.:%-]+", host)):
        raise argparse.ArgumentTypeError(f"PORT or HOST:PORT is wanted, with a PORT up to 65,535, not {text!r}")
    return host, int(port)


def _between(least: Number, most: Number, kind: Callable[[str], Number]) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        try:
            number = kind(text)
        except ValueError:
            number = None
        # Not "number < least", which a NaN would pass.
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"a number from {least:g} to {most:,.0f} is wanted, not {text!r}")
        return number

    return parse


def _count(most: int) -> dict[str, Any]:
    return {"metavar": "N", "type": _between(1, most, int)}


def _seconds(least: float) -> dict[str, Any]:
    return {"metavar": "SECONDS", "type": _between(least, LONGEST_SECONDS, float)}


def flag(default: Any, text: str, *short: str, **argument: Any) -> Any:
    """
    Declare a flag as a field of ``WorkerOptions``, or of a class derived from it.

    ``text`` is its help, and ``argument`` goes to ``add_argument``; with ``nargs`` it is a positional argument.
    """
    if default is False:
        argument["action"] = "store_true"
    return dataclasses.field(default=default, metadata={"short": short, "group": "", "help": text, **argument})


_operation = functools.partial(flag, group="operations")


@dataclasses.dataclass(frozen=True)
class WorkerOptions:
    """The parsed flags that ``runworker`` and ``manage.py runworker`` share."""

    channels: Sequence[str] = flag(
        (),
        "channels of the consumers in ASGI_APPLICATION, as in Channels 4; without a routing",
        metavar="CHANNEL",
        nargs="*",
    )
    layer: str = flag(
        DEFAULT_CHANNEL_LAYER,
        "alias of the channel layer in CHANNEL_LAYERS (default: %(default)s); without Django MODULE:OBJECT, which is "
        "a channel layer, or a function that returns one",
        metavar="ALIAS",
    )
    routing: str | None = flag(
        None,
        "the channel routing (default: the ROUTING of the channel layer in Django's settings)",
        metavar="MODULE.NAME",
    )
    pool: str = flag(
        "thread",
        "what runs the consumers: threads, or greenlets (default: %(default)s)",
        action=_SlotsAction,
        choices=("thread", "gevent"),
    )
    concurrency: int | None = flag(
        None,
        "how many messages to work on at a time (default: 1 thread, or 100 greenlets)",
        action=_SlotsAction,
        **_count(MAX_SLOTS),
    )
    threads: int | None = flag(
        None,
        "the same as --pool thread --concurrency N, as in Channels 1",
        action=_SlotsAction,
        **_count(MAX_THREADS),
    )
    processes: int = flag(
        1, "how many worker processes to run, each with its own pool (default: %(default)s)", **_count(MAX_PROCESSES)
    )
    limit: Sequence[tuple[str, int]] | None = flag(
        None,
        "work on at most N messages at a time of each channel that CHANNEL, a name or a glob, matches; may be "
        "repeated",
        metavar="CHANNEL=N",
        type=_limit,
        action="append",
    )
    burst: bool = flag(False, "empty the channels, also of messages that consumers send meanwhile, and stop")
    burst_timeout: float = flag(
        30.0,
        "how long a burst waits for a Redis that does not answer (default: %(default)g; then it exits with "
        f"{ExitCode.UNREACHABLE:d})",
        **_seconds(0.0),
    )
    only_channels: Sequence[str] | None = flag(
        None, "listen only on channels that match; may be repeated", metavar="GLOB", action="append"
    )
    exclude_channels: Sequence[str] | None = flag(
        None, "do not listen on channels that match; may be repeated", metavar="GLOB", action="append"
    )
    shutdown_timeout: float = flag(
        30.0, "how long a stop waits for running consumers (default: %(default)g)", **_seconds(0.0)
    )
    disable_graceful_stop: bool = flag(False, "do not wait for running consumers at all")
    max_messages: int | None = _operation(
        None,
        "stop in good order after N messages, give or take a tenth; a supervisor has to start a new worker",
        **_count(MAX_MESSAGES),
    )
    max_memory: int | None = _operation(
        None,
        "stop likewise when the process takes more memory than SIZE, as in 512M, give or take a tenth",
        metavar="SIZE",
        type=_size,
    )
    heartbeat_file: str | None = _operation(
        None,
        "a file to touch twice a second as long as messages are pulled, for asgi-redis health; it contains "
        '"ready" while Redis answers',
        metavar="PATH",
    )
    metrics_port: tuple[str, int] | None = _operation(
        None,
        "serve metrics for Prometheus there (default: nowhere; default of HOST: 127.0.0.1)",
        metavar="[HOST:]PORT",
        type=_address,
    )
    soft_time_limit: float | None = _operation(
        None,
        "log each consumer that runs for longer, with its stack, and how long it took in the end (default: never)",
        **_seconds(0.1),
    )
    stuck_timeout: float | None = _operation(
        None,
        "count as hanging, for the heartbeat file, systemd and --processes, when no slot has become free for so long "
        "(default: never)",
        **_seconds(1.0),
    )
    reload: bool = _operation(False, "restart when a loaded file changes, for development")
    verbosity: int = 1  # a flag of Django's commands

    @classmethod
    def from_parsed(cls, values: Mapping[str, Any]) -> Self:
        """Return the options among parsed arguments."""
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        """Add the flags to a parser."""
        groups = {"": parser, "operations": parser.add_argument_group("operations")}
        for field in dataclasses.fields(cls):
            argument = dict(field.metadata)
            if not argument:
                continue
            group, short = groups[argument.pop("group")], argument.pop("short")
            names = [*short, f"--{field.name.replace('_', '-')}"] if "nargs" not in argument else [field.name]
            group.add_argument(*names, default=field.default, **argument)
