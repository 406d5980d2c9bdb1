"""
The errors of this package, under one root.

Each is also an instance of the built-in that fits it, so that ``except TypeError`` keeps working. The errors of
redis-py (``redis.exceptions.ConnectionError``, ``TimeoutError``, ...) pass through untouched.
"""

from __future__ import annotations


class ChannelLayerError(Exception):
    """The root of this package's errors."""


class ChannelFull(ChannelLayerError):
    """The channel, or the memory of the layer, is full; the message was not sent."""


def channel_full_for_channels() -> type[ChannelFull]:
    """Return a ``ChannelFull`` that is also that of Channels, where it has one."""
    try:
        from channels.exceptions import ChannelFull as OfChannels  # type: ignore[import-untyped]  # has no types
    except ImportError:  # also with Channels 1
        return ChannelFull
    names = {"__module__": "asgi_redis.aio", "__doc__": ChannelFull.__doc__}
    return type("ChannelFull", (ChannelFull, OfChannels), names)


class MessageTooLarge(ChannelLayerError, ValueError):
    """The serialised message is larger than ``max_message_bytes``; it was not sent."""


class InvalidName(ChannelLayerError, TypeError):
    """A channel or group name breaks the rules of the ASGI 1.x specification."""


class InvalidMessage(ChannelLayerError, TypeError):
    """A message is not a dict, or holds a value that cannot be serialised."""


class ReservedKey(ChannelLayerError, ValueError):
    """A message holds ``__asgi_channel__``, a key of the wire format."""


class UndecodableMessage(ChannelLayerError, ValueError):
    """An entry in Redis is not a message of this layer's format and keys."""


class ConfigurationError(ChannelLayerError, ValueError):
    """A setting has a value that cannot work."""


class WrongArguments(ConfigurationError):
    """The arguments of a command do not go together, or are not all."""


class InvalidChannelLayerError(ConfigurationError):
    """Django's ``CHANNEL_LAYERS`` does not describe the requested layer."""


class UnknownSetting(ChannelLayerError, TypeError):
    """A setting that this layer does not know."""


class RemovedName(ChannelLayerError, AttributeError, TypeError):
    """A name of asgi_redis 1.4.3 that has gone, or an override that is never called."""


class SerializerDoesNotExist(ChannelLayerError, KeyError):
    """No serialiser is registered for this format."""

    def __str__(self) -> str:
        return str(self.args[0])


class MissingExtra(ChannelLayerError, ImportError):
    """A setting needs an optional dependency that is not installed."""


class UnsupportedExtension(ChannelLayerError, NotImplementedError):
    """The layer does not have the extension of ASGI 1.x that this call belongs to."""


class UnsupportedRedis(ChannelLayerError, RuntimeError):
    """The Redis server is too old, or lacks a command that is needed."""


class UnsupportedPatches(ChannelLayerError, RuntimeError):
    """The standard library is patched in a way that this package cannot work with."""


class NotOfThisProcess(ChannelLayerError, RuntimeError):
    """With pub/sub a process adds only channels to groups that it listens to."""


class NotAwaitable(ChannelLayerError, TypeError):
    """A call of a synchronous layer was awaited; it has done nothing."""


class LayerClosed(ChannelLayerError, RuntimeError):
    """An asynchronous layer was closed while a call waited for a message."""


class CallInterrupted(ChannelLayerError, RuntimeError):
    """Code in a thread of a layer raised SystemExit, or another unexpected error."""


class ForkedDuringCall(ChannelLayerError, RuntimeError):
    """The process was forked in the middle of a call, which the parent goes on with."""


class UnsafeSignalHandler(ChannelLayerError, RuntimeError):
    """A signal handler used the layer in the midst of an uninterruptible call."""


class UnusableStore(ChannelLayerError, RuntimeError):
    """The files of an IPC store are not ours, of another format, or damaged."""


class RedisServerError(ChannelLayerError, RuntimeError):
    """An embedded server could not be started. The message shows the end of its log."""
