"""The commands of ``asgi-redis`` that look at a layer, a module for each kind."""

from __future__ import annotations

import argparse
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.exceptions import ChannelLayerError, InvalidName, WrongArguments
from asgi_redis.monitor.command import ipc, lists, messages, picture, servers
from asgi_redis.monitor.command.output import complain


def add_to(subjects: Any) -> None:
    """Add the commands to the parser; each has its function as ``run``."""
    for module in (picture, lists, messages, servers, ipc):
        module.add_to(subjects)


def run(arguments: argparse.Namespace) -> int:
    """Run a command; return its exit code, and say on stderr why it has failed."""
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:
        raise
    except (InvalidName, WrongArguments) as error:
        complain(str(error))
        return 2
    except (ChannelLayerError, RedisError, OSError) as error:
        complain(str(error))
        return 1
