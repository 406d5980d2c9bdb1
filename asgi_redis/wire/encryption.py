"""
Fernet, the encryption of channels_redis, over the ciphers of ``cryptography``.

See https://github.com/fernet/spec/blob/master/Spec.md. The class of ``cryptography`` makes a cipher and an HMAC for
each token, which takes three times as long as the encryption of a small message. Here they are used again and again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from asgi_redis.exceptions import UndecodableMessage

_VERSION = b"\x80"
_BLOCK = 16  # bytes, of the cipher and of its initialisation vector
_SIGNATURE = 32  # bytes
_HEAD = len(_VERSION) + 8  # bytes before the vector: version and time
_MAX_CLOCK_SKEW_SECONDS = 60  # that a token may come from the future, as in cryptography


class Crypter(MultiFernet):
    """
    Encrypts with the first of several keys, and decrypts with any.

    Raises ``UndecodableMessage`` where ``MultiFernet`` raises ``InvalidToken``.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        digests = [hashlib.sha256(key).digest() for key in keys]
        super().__init__([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
        self._keys = [_Key(digest) for digest in digests]

    def encrypt(self, msg: bytes) -> bytes:
        """Return ``msg`` as a token."""
        return base64.urlsafe_b64encode(self._keys[0].seal(msg, int(time.time())))

    def decrypt(self, msg: bytes | str, ttl: int | None = None) -> bytes:
        """Return the message of a token that is no older than ``ttl`` seconds."""
        try:
            data = base64.urlsafe_b64decode(msg)
        except (ValueError, binascii.Error):
            raise _undecodable() from None
        if ttl is not None:
            sent, now = int.from_bytes(data[1:_HEAD], "big"), int(time.time())
            if sent + ttl < now or now + _MAX_CLOCK_SKEW_SECONDS < sent:
                raise _undecodable()
        if data[:1] == _VERSION:
            for key in self._keys:
                message = key.open(data)
                if message is not None:
                    return message
        raise _undecodable()


def _undecodable() -> UndecodableMessage:
    return UndecodableMessage("none of the keys decrypts it, or it is too old")


class _Key:
    """
    One key: the first half signs, the second half encrypts.

    A cipher is used for one token after the other. CBC adds the last block of ciphertext to the next block of text:
    so a block of random bytes, encrypted before a message, is as random as a new vector; and a vector, decrypted
    before a ciphertext, leaves the cipher as a new one with that vector.
    """

    def __init__(self, digest: bytes) -> None:
        self._signature = HMAC(digest[:16], SHA256())
        self._cipher = Cipher(algorithms.AES(digest[16:]), modes.CBC(os.urandom(_BLOCK)))
        # Each serves one call at a time, and never comes back after an interruption.
        self._idle_encryptors: list[Any] = []
        self._idle_decryptors: list[Any] = []

    def seal(self, message: bytes, now: int) -> bytes:
        """Return an encrypted message with time and signature."""
        try:
            encryptor = self._idle_encryptors.pop()
        except IndexError:
            encryptor = self._cipher.encryptor()
        padding = _BLOCK - len(message) % _BLOCK
        sealed = encryptor.update(b"%b%b%b" % (os.urandom(_BLOCK), message, bytes((padding,)) * padding))
        self._idle_encryptors.append(encryptor)
        signed: bytes = _VERSION + now.to_bytes(8, "big") + sealed
        signature = self._signature.copy()
        signature.update(signed)
        return signed + signature.finalize()

    def open(self, data: bytes) -> bytes | None:
        """Return the message in the result of ``seal``; None if that is of another key."""
        signed = memoryview(data)[:-_SIGNATURE]
        signature = self._signature.copy()
        signature.update(signed)
        try:
            signature.verify(data[-_SIGNATURE:])
        except InvalidSignature:
            return None
        sealed = signed[_HEAD:]
        if len(sealed) < 2 * _BLOCK or len(sealed) % _BLOCK:
            return None  # an incomplete block would stay in the cipher
        try:
            decryptor = self._idle_decryptors.pop()
        except IndexError:
            decryptor = self._cipher.decryptor()
        padded: bytes = decryptor.update(sealed)
        self._idle_decryptors.append(decryptor)
        padding = padded[-1]
        if not 1 <= padding <= _BLOCK or padded[-padding:] != bytes((padding,)) * padding:
            return None
        return padded[_BLOCK:-padding]
