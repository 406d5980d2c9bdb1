"""Encryption: the tokens of cryptography's Fernet, in both directions, and nothing that was tampered with."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
import time

import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from asgi_redis.exceptions import UndecodableMessage
from asgi_redis.wire.encryption import Crypter

KEY = b"a key"
LENGTHS = [0, 1, 15, 16, 17, 100, 10_000]


def fernet(key=KEY):
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key).digest()))


@pytest.fixture
def crypter():
    return Crypter([KEY])


def resigned(data, key=KEY):
    """Return bytes of a token with the signature of ``key`` in place of theirs."""
    signature = HMAC(hashlib.sha256(key).digest()[:16], SHA256())
    signature.update(data[:-32])
    return base64.urlsafe_b64encode(data[:-32] + signature.finalize())


@pytest.mark.parametrize("length", LENGTHS)
def test_both_read_each_other_again_and_again(crypter, length):
    for _ in range(3):
        message = os.urandom(length)
        assert fernet().decrypt(crypter.encrypt(message)) == message
        assert crypter.decrypt(fernet().encrypt(message)) == message
        assert crypter.decrypt(fernet().encrypt(message).decode()) == message


def test_a_token_is_read_after_the_tokens_of_others(crypter):
    """The cipher is in another state after each."""
    tokens = [fernet().encrypt(b"%d" % number * number) for number in range(1, 20)]
    assert [crypter.decrypt(token) for token in tokens] == [b"%d" % number * number for number in range(1, 20)]


def test_equal_messages_have_nothing_in_common(crypter):
    bodies = [base64.urlsafe_b64decode(crypter.encrypt(b"x" * 64))[9:] for _ in range(50)]
    blocks = [body[start : start + 16] for body in bodies for start in range(0, len(body) - 32, 16)]
    assert len(set(blocks)) == len(blocks)


def test_a_forked_process_encrypts_other_tokens():
    program = (
        "import os, sys\n"
        "from asgi_redis.wire.encryption import Crypter\n"
        "crypter = Crypter([b'a key']); crypter.encrypt(b'x')\n"
        "child = os.fork()\n"
        "sys.stdout.write(crypter.encrypt(b'x' * 100).decode() + ' '); sys.stdout.flush()\n"
        "child and os.waitpid(child, 0)"
    )
    tokens = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.split()
    vectors = {base64.urlsafe_b64decode(token)[9:25] for token in tokens}
    assert len(vectors) == len(tokens) == 2
    assert [fernet().decrypt(token) for token in tokens] == [b"x" * 100] * 2


def test_threads_do_not_share_a_cipher(crypter):
    wrong = []

    def run(number):
        message = b"%d" % number * 3000
        for _ in range(200):
            if crypter.decrypt(crypter.encrypt(message)) != message:
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_token_with_any_wrong_byte_is_refused(crypter):
    data = base64.urlsafe_b64decode(crypter.encrypt(b"hello"))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(UndecodableMessage):
            crypter.decrypt(base64.urlsafe_b64encode(bytes(changed)))
    assert crypter.decrypt(base64.urlsafe_b64encode(data)) == b"hello"


@pytest.mark.parametrize("length", range(0, 73, 8))
def test_a_token_that_was_cut_is_refused(crypter, length):
    with pytest.raises(UndecodableMessage):
        crypter.decrypt(base64.urlsafe_b64encode(base64.urlsafe_b64decode(crypter.encrypt(b"hello"))[:length]))


@pytest.mark.parametrize("change", [lambda data: data[:-33] + data[-32:], lambda data: data[:25] + data[-32:]])
def test_a_signed_token_without_whole_blocks_is_refused_and_harms_no_other(crypter, change):
    data = base64.urlsafe_b64decode(crypter.encrypt(b"hello"))
    for token in (resigned(change(data)), resigned(b"\x81" + data[1:])):
        with pytest.raises(UndecodableMessage):
            crypter.decrypt(token)
        with pytest.raises(InvalidToken):
            fernet().decrypt(token)
    assert crypter.decrypt(crypter.encrypt(b"fine")) == b"fine"


def test_a_signed_token_with_a_wrong_padding_is_refused(crypter):
    data = base64.urlsafe_b64decode(crypter.encrypt(b"x" * 32))
    token = resigned(data[:-48] + data[-32:])  # without the block of padding
    with pytest.raises(UndecodableMessage):
        crypter.decrypt(token)


@pytest.mark.parametrize("token", [b"", b"=", b"a", "kéy", b"\xff" * 100])
def test_garbage_is_refused(crypter, token):
    with pytest.raises(UndecodableMessage):
        crypter.decrypt(token)


def test_the_first_key_encrypts_and_all_decrypt():
    crypter = Crypter([b"new", b"old"])
    assert fernet(b"new").decrypt(crypter.encrypt(b"x")) == b"x"
    assert crypter.decrypt(fernet(b"old").encrypt(b"x")) == b"x"
    with pytest.raises(UndecodableMessage):
        crypter.decrypt(fernet(b"other").encrypt(b"x"))


def test_age_is_judged_as_by_fernet(crypter, monkeypatch):
    now = int(time.time())
    monkeypatch.setattr(time, "time", lambda: now + 0.5)
    for age, ttl in ((10, 10), (11, 10), (-60, 10), (-61, 10), (1000, None)):
        token = fernet().encrypt_at_time(b"x", now - age)
        try:
            expected = fernet().decrypt(token, ttl)
        except InvalidToken:
            with pytest.raises(UndecodableMessage):
                crypter.decrypt(token, ttl)
        else:
            assert crypter.decrypt(token, ttl) == expected


def test_it_is_the_multi_fernet_that_a_layer_shows(crypter):
    assert isinstance(crypter, MultiFernet)
    token = crypter.encrypt(b"x")
    assert fernet().decrypt(crypter.rotate(token)) == b"x"
    assert crypter.extract_timestamp(token) == fernet().extract_timestamp(token)
