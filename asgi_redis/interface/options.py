"""The options of the interface: the keys of Django's ``CHANNEL_INTERFACE``."""

# No "from __future__ import annotations": reading the declarations is faster when Python has evaluated them.

from collections.abc import Mapping
from typing import Annotated, TypedDict, cast

from asgi_redis.exceptions import ConfigurationError
from asgi_redis.layers.options import Option, check_bytes, check_seconds, check_whole

_KIBIBYTE = 1024
_MEBIBYTE = 1024 * _KIBIBYTE


class InterfaceOptions(TypedDict, total=False):
    """Options of ``Interface``."""

    http_timeout: Annotated[
        float,
        Option(
            "Seconds until a request is answered with 504, or a response that stops is cut. Each part of its body, "
            "and each part of a response, begins them anew.",
            120.0,
            check_seconds,
            example="60.0",
        ),
    ]
    websocket_handshake_timeout: Annotated[
        float,
        Option(
            "Seconds until a websocket that no consumer accepts is refused with 403.",
            5.0,
            check_seconds,
            example="10.0",
        ),
    ]
    websocket_timeout: Annotated[
        float,
        Option(
            "Seconds that a websocket lives; then it is closed with 1000.", 86400.0, check_seconds, example="3600.0"
        ),
    ]
    full_channel_timeout: Annotated[
        float,
        Option(
            "Seconds that a frame waits at a full channel; then its websocket is closed with 1013.",
            10.0,
            check_seconds,
            example="30.0",
        ),
    ]
    outage_timeout: Annotated[
        float,
        Option(
            "Seconds that a frame waits for a Redis that is away; then its websocket is closed with 1013. A frame "
            "that Redis may have already waits no longer than until ten seconds before the ``expiry`` of the layer "
            "is over.",
            60.0,
            check_seconds,
            example="20.0",
        ),
    ]
    body_timeout: Annotated[
        float,
        Option(
            "Seconds that the body of a request may take, and one more for each 500 bytes that have come; and "
            "seconds that it may stop in between. Then the answer is 408.",
            30.0,
            check_seconds,
            example="10.0",
        ),
    ]
    max_sockets: Annotated[
        int,
        Option(
            "Websockets of a process, handshakes included; more are refused with 503.",
            10_000,
            check_whole,
            example="50_000",
        ),
    ]
    max_frame_bytes: Annotated[
        int,
        Option(
            "Bytes of a message of a client, however many fragments it has; a larger one closes its websocket with "
            "1009.",
            _MEBIBYTE,
            check_bytes,
            example="64 * 1024",
        ),
    ]
    max_header_bytes: Annotated[
        int,
        Option(
            "Bytes of path, query and headers; with more the answer is 431. Servers have limits of their own, which "
            "may be lower.",
            64 * _KIBIBYTE,
            check_bytes,
            example="16 * 1024",
        ),
    ]
    max_body_bytes: Annotated[
        int,
        Option(
            "Bytes of a request's body; with more the answer is 413.",
            256 * _MEBIBYTE,
            check_bytes,
            example="10 * 1024 * 1024",
        ),
    ]
    max_buffered_bytes: Annotated[
        int,
        Option(
            "Bytes of frames that wait for a client who does not read them, beyond the buffers of server and kernel; "
            "more close its websocket with 1013.",
            _MEBIBYTE,
            check_bytes,
            example="256 * 1024",
        ),
    ]
    max_buffered_response_bytes: Annotated[
        int,
        Option(
            "Bytes of a response that wait likewise; more cut it. Responses of this package's workers wait "
            "at the worker instead, and need no such room.",
            16 * _MEBIBYTE,
            check_bytes,
            example="4 * 1024 * 1024",
        ),
    ]


def of_settings(settings: object) -> InterfaceOptions:
    """
    Return the ``CHANNEL_INTERFACE`` of Django's settings, or nothing.

    Raises:
        ConfigurationError: It is no dict.
    """
    options = getattr(settings, "CHANNEL_INTERFACE", {})
    if not isinstance(options, Mapping):
        raise ConfigurationError(f'CHANNEL_INTERFACE must be a dict such as {{"max_sockets": 5000}}, not {options!r}')
    return cast(InterfaceOptions, options)
