"""The flags' values; what they do is tested where it is done."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from workers.command.arguments import WorkerOptions


def parse(*flags: str) -> WorkerOptions:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    WorkerOptions.add_to(parser)
    return WorkerOptions.from_parsed({**vars(parser.parse_args(flags)), "verbosity": 1})


def test_by_default_nothing_is_asked_for() -> None:
    options = parse()
    assert options == WorkerOptions()
    assert (options.pool, options.concurrency, options.threads) == ("thread", None, None)
    operations = ["limit", "max_messages", "max_memory", "heartbeat_file", "metrics_port", "soft_time_limit"]
    operations.append("stuck_timeout")
    assert [getattr(options, name) for name in operations] == [None] * 7
    assert not options.burst
    assert not options.reload


@pytest.mark.parametrize(
    ("flag", "value", "parsed"),
    [
        ("--limit", "thumbs.*=2", [("thumbs.*", 2)]),
        ("--limit", "a=b=3", [("a=b", 3)]),
        ("--max-messages", "1000", 1000),
        ("--max-memory", "512M", 512 << 20),
        ("--max-memory", "1.5g", 3 << 29),
        ("--max-memory", "800K", 800 << 10),
        ("--max-memory", "1000000", 1_000_000),
        ("--metrics-port", "9100", ("127.0.0.1", 9100)),
        ("--metrics-port", "0.0.0.0:9100", ("0.0.0.0", 9100)),
        ("--metrics-port", "[::1]:9100", ("::1", 9100)),
        ("--soft-time-limit", "2.5", 2.5),
        ("--stuck-timeout", "600", 600.0),
        ("--heartbeat-file", "/run/alive", "/run/alive"),
    ],
)
def test_values_are_parsed(flag: str, value: str, parsed: Any) -> None:
    assert getattr(parse(flag, value), flag[2:].replace("-", "_")) == parsed


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--limit", "work"], "CHANNEL=N"),
        (["--limit", "work=0"], "from 1 to 100,000 is wanted, not '0'"),
        (["--limit", "work=1000000000"], "from 1 to 100,000"),
        (["--threads", "1000000000"], "from 1 to 10,000"),
        (["--concurrency", "1000000000"], "from 1 to 100,000"),
        (["--max-messages", "0"], "from 1 to 1,000,000,000,000"),
        (["--max-messages", "9" * 5000], "from 1 to 1,000,000,000,000"),
        (["--max-memory", "lots"], "as in 512M"),
        (["--max-memory", "0"], "as in 512M"),
        (["--max-memory", "5T"], "as in 512M"),
        (["--max-memory", "9" * 400], "up to 1,048,576G"),
        (["--max-memory", "1048577G"], "up to 1,048,576G"),
        (["--metrics-port", "http"], "HOST:PORT"),
        (["--metrics-port", "70000"], "up to 65,535"),
        (["--metrics-port", "9" * 5000], "up to 65,535"),
        (["--metrics-port", "http://localhost:80"], "HOST:PORT"),
        (["--soft-time-limit", "0"], "from 0.1 to 1,000,000"),
        (["--stuck-timeout", "0"], "from 1 to 1,000,000"),
        *((["--soft-time-limit", value], "from 0.1 to 1,000,000") for value in ("inf", "nan", "1e30")),
        *((["--shutdown-timeout", value], "from 0 to 1,000,000") for value in ("inf", "nan", "1e30", "-1")),
        (["--pool", "process"], "invalid choice"),
        (["--threads", "2", "--concurrency", "2"], "one or the other"),
        (["--concurrency", "2", "--threads", "2"], "one or the other"),
        (["--threads", "2", "--pool", "gevent"], "one or the other"),
        (["--pool", "gevent", "--threads", "2"], "one or the other"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*flags)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_threads_may_be_given_with_their_pool() -> None:
    assert parse("--pool", "thread", "--threads", "2").threads == 2
