"""Test cases and clients for consumers, as in ``channels.test`` of Channels 1.1.8."""

from __future__ import annotations

from workers.test.base import ChannelTestCase as ChannelTestCase
from workers.test.base import Client as Client
from workers.test.base import TransactionChannelTestCase as TransactionChannelTestCase
from workers.test.base import apply_routes as apply_routes
from workers.test.liveserver import ChannelLiveServerTestCase as ChannelLiveServerTestCase
from workers.test.websocket import WSClient as HttpClient
from workers.test.websocket import WSClient as WSClient

__all__ = [
    "ChannelLiveServerTestCase",
    "ChannelTestCase",
    "Client",
    "HttpClient",
    "TransactionChannelTestCase",
    "WSClient",
    "apply_routes",
]
