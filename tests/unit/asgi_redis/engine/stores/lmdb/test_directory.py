"""The path of a store: only this user and root may lead it elsewhere."""

from __future__ import annotations

import os
import stat

import pytest

from asgi_redis import IPCChannelLayer, __main__
from asgi_redis.engine.stores.lmdb.store import LMDBStore
from asgi_redis.exceptions import UnusableStore
from tests.support.stores.lmdb_stores import base, push  # noqa: F401  a fixture

OTHER_USER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file to another user")


def send(path):
    with IPCChannelLayer(path=path) as layer:
        layer.send("a", {"n": 1})
        return layer.path


@pytest.fixture
def open_to_all(base):  # noqa: F811
    """A directory like ``/tmp``."""
    (base / "tmp").mkdir()
    (base / "tmp").chmod(0o1777)
    return base / "tmp"


def test_links_of_this_user_are_followed(base):  # noqa: F811
    (base / "place").mkdir(mode=0o700)
    (base / "link").symlink_to("place/../place")
    assert send(base / "link" / "stores") == send(base / "place" / "stores")


def test_links_that_lead_in_a_circle_are_refused(base):  # noqa: F811
    (base / "one").symlink_to("other")
    (base / "other").symlink_to(base / "one")
    with pytest.raises(UnusableStore, match="too many links"):
        send(base / "one")


@as_root
@pytest.mark.parametrize("path", ["link", "link/stores"])
def test_links_of_others_are_refused(base, open_to_all, path):  # noqa: F811
    (base / "victim").mkdir(mode=0o700)
    (open_to_all / "link").symlink_to(base / "victim")
    os.chown(open_to_all / "link", OTHER_USER, -1, follow_symlinks=False)
    with pytest.raises(UnusableStore, match=f"link belongs to user {OTHER_USER}, not to this one"):
        send(open_to_all / path)
    assert list((base / "victim").iterdir()) == []


@as_root
def test_a_directory_that_another_user_has_made_where_all_may_is_refused(open_to_all):
    (open_to_all / "mysite").mkdir(mode=0o777)
    os.chown(open_to_all / "mysite", OTHER_USER, -1)
    with pytest.raises(UnusableStore, match=f"mysite belongs to user {OTHER_USER}, not to this one"):
        send(open_to_all / "mysite" / "ipc" / "stores")


@as_root
def test_one_that_is_put_there_after_the_layer_was_made_is_refused(open_to_all):
    layer = IPCChannelLayer(path=open_to_all / "mysite" / "stores")
    (open_to_all / "mysite").mkdir(mode=0o755)
    os.chown(open_to_all / "mysite", OTHER_USER, -1)
    with pytest.raises(UnusableStore, match=f"mysite belongs to user {OTHER_USER}"):
        layer.send("a", {})
    layer.close()


def test_a_directory_in_which_all_may_replace_it_is_refused(open_to_all):
    (open_to_all / "mine").mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(UnusableStore, match="tmp is open to all users, who could replace mine"):
        send(open_to_all / "mine" / "stores")


def test_the_directories_above_it_are_writable_for_this_user_only(base):  # noqa: F811
    previous = os.umask(0)
    try:
        send(base / "one" / "two" / "stores")
    finally:
        os.umask(previous)
    modes = [stat.S_IMODE((base / name).stat().st_mode) for name in ("one", "one/two", "one/two/stores")]
    assert modes == [0o755, 0o755, 0o700]


@as_root
@pytest.mark.parametrize("words", [("remove", "--all"), ("remove", "asgi"), ("list",)])
def test_the_command_follows_no_link_of_others(base, open_to_all, words, capsys):  # noqa: F811
    store = LMDBStore(base / "victim" / "=asgi", 1 << 20)
    push(store, b"1")
    store.close()
    (open_to_all / "link").symlink_to(base / "victim")
    os.chown(open_to_all / "link", OTHER_USER, -1, follow_symlinks=False)
    assert __main__.main(["ipc", *words, "--path", str(open_to_all / "link")]) == 1
    output, errors = capsys.readouterr()
    assert not output
    assert f"link belongs to user {OTHER_USER}" in errors
    assert (base / "victim" / "=asgi" / "data.mdb").exists()


@as_root
def test_the_command_removes_no_store_that_is_a_link_of_others(base, open_to_all, capsys):  # noqa: F811
    (base / "=victim").mkdir(mode=0o700)
    (base / "=victim" / "data.mdb").touch()
    (open_to_all / "=asgi").symlink_to(base / "=victim")
    os.chown(open_to_all / "=asgi", OTHER_USER, -1, follow_symlinks=False)
    assert __main__.main(["ipc", "remove", "--all", "--force", "--path", str(open_to_all)]) == 1
    assert "not a link" in capsys.readouterr().err
    assert (base / "=victim" / "data.mdb").exists()
