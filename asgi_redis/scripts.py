"""
The scripts: one Lua file an operation in ``lua/``, told to Redis once, run by their SHA-1.

Redis forgets scripts at ``SCRIPT FLUSH``, a restart or a failover, and answers ``NOSCRIPT`` then, without having run
anything: whoever runs a script asks again with its text.
"""

from __future__ import annotations

import hashlib
from importlib import resources


class Script:
    """One Lua script. ``sha`` is what ``EVALSHA`` takes, as bytes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (resources.files("asgi_redis") / "lua" / f"{name}.lua").read_bytes()
        # SHA-1 is how Redis names scripts; nothing is kept secret by it.
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    def __repr__(self) -> str:
        return f"<Script {self.name}>"


SEND = Script("send")
SEND_GROUP = Script("send_group")
RECEIVE = Script("receive")
GIVE_BACK = Script("give_back")
GROUP_ADD = Script("group_add")
GROUP_EXPIRE = Script("group_expire")
JOIN_GROUP = Script("join_group")
BEGIN_ROUND = Script("begin_round")
RENEW_MEMBERSHIPS = Script("renew_memberships")
END_ROUND = Script("end_round")
CHANNEL_STATISTICS = Script("channel_statistics")
STORE_DELAYED = Script("store_delayed")
DUE_DELAYED = Script("due_delayed")
DELIVER_DELAYED = Script("deliver_delayed")
