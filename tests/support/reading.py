"""The ways to read one message, which have to keep the same promises."""

from __future__ import annotations

import pytest


def one(layer, channels):
    return layer.receive(channels)


def one_blocking(layer, channels):
    return layer.receive(channels, block=True)


def batch_of_one(layer, channels):
    return (layer.receive_batch(channels, 1) or [(None, None)])[0]


def until_received(layer, channels):
    while True:
        received = layer.receive(channels, block=True)
        if received != (None, None):
            return received


each_way_to_read = pytest.mark.parametrize("read", [one, one_blocking, batch_of_one])
