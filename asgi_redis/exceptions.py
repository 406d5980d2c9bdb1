"""
The errors of this package, under one root.

Each is also an instance of the built-in that fits it, so that ``except TypeError`` keeps working. What redis-py
raises (``redis.exceptions.ConnectionError``, ``TimeoutError``, ...) passes through untouched.
"""

from __future__ import annotations


class ChannelLayerError(Exception):
    """The root of this package's errors."""


class ChannelFull(ChannelLayerError):
    """The channel is at its capacity, or the memory of the layer is used up; the message was not sent."""


def channel_full_for_channels() -> type[ChannelFull]:
    """Return a ``ChannelFull`` that is also a ``channels.exceptions.ChannelFull`` where Channels is installed."""
    try:
        from channels import exceptions as of_channels  # type: ignore[import-untyped]  # has no types
    except ImportError:
        return ChannelFull
    names = {"__module__": "asgi_redis.aio", "__doc__": ChannelFull.__doc__}
    return type("ChannelFull", (ChannelFull, of_channels.ChannelFull), names)


class MessageTooLarge(ChannelLayerError, ValueError):
    """The serialised message is larger than ``max_message_bytes``; it was not sent."""


class InvalidName(ChannelLayerError, TypeError):
    """A channel or group name breaks the rules of the ASGI 1.x specification."""


class InvalidMessage(ChannelLayerError, TypeError):
    """A message is not a dict, or holds a value that cannot be serialised."""


class ReservedKey(ChannelLayerError, ValueError):
    """A message holds ``__asgi_channel__``, the key that the wire format keeps for itself."""


class UndecodableMessage(ChannelLayerError, ValueError):
    """What was read from Redis is not a message of this layer's format and keys."""


class ConfigurationError(ChannelLayerError, ValueError):
    """A setting has a value that cannot work."""


class InvalidChannelLayerError(ConfigurationError):
    """Django's ``CHANNEL_LAYERS`` does not say how to make the layer that was asked for."""


class UnknownSetting(ChannelLayerError, TypeError):
    """A setting that this layer does not know."""


class RemovedName(ChannelLayerError, AttributeError, TypeError):
    """A name of asgi_redis 1.4.3 that has gone, or a method that is overridden and would never be called."""


class MissingExtra(ChannelLayerError, ImportError):
    """A setting needs an optional dependency that is not installed."""


class UnsupportedExtension(ChannelLayerError, NotImplementedError):
    """The layer does not have the extension of ASGI 1.x that this call belongs to."""


class UnsupportedRedis(ChannelLayerError, RuntimeError):
    """This Redis is too old, or lacks a command that is needed."""


class UnsupportedPatches(ChannelLayerError, RuntimeError):
    """The standard library is patched in a way that this package cannot work with."""


class NotAwaitable(ChannelLayerError, TypeError):
    """A call of a synchronous layer was awaited; it has done nothing."""


class LayerClosed(ChannelLayerError, RuntimeError):
    """An asynchronous layer was closed while somebody waited for a message."""


class CallInterrupted(ChannelLayerError, RuntimeError):
    """Code that a thread of a layer ran for a caller raised SystemExit, or another error that no caller expects."""


class ForkedDuringCall(ChannelLayerError, RuntimeError):
    """The process was forked in the middle of a call, as by a signal handler. The parent goes on with the call."""


class UnsafeSignalHandler(ChannelLayerError, RuntimeError):
    """A signal handler used the layer in the middle of a call that cannot be interrupted."""


class UnusableStore(ChannelLayerError, RuntimeError):
    """The files of an IPC store are not ours, of another format, or damaged."""
