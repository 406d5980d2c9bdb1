"""
The scripts: one Lua file an operation in ``lua/``, run by their SHA-1.

Common parts of several scripts are fragments, files whose names begin with ``_``: a line ``-- include _name`` stands
for the text of a fragment.

Redis forgets scripts at ``SCRIPT FLUSH``, a restart or a failover. Then it answers ``NOSCRIPT``, without having run
anything, and the caller asks again with the text of the script.
"""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path

_LUA = Path(__file__).parent / "lua"
_INCLUDE = re.compile(rb"^ *-- include (\w+)\n", flags=re.MULTILINE)


class Script:
    """One Lua script. ``sha`` is its name for ``EVALSHA``, as bytes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = _text(name)
        # SHA-1 is how Redis names scripts; nothing is kept secret by it.
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    def __repr__(self) -> str:
        return f"<Script {self.name}>"


@functools.cache
def _text(name: str) -> bytes:
    source = (_LUA / f"{name}.lua").read_bytes()
    return _INCLUDE.sub(lambda include: _text(include[1].decode()), source)


SEND = Script("send")
SEND_ONCE = Script("send_once")
SEND_GROUP = Script("send_group")
SEND_KNOWN_GROUP = Script("send_known_group")
RECEIVE = Script("receive")
REQUEUE = Script("requeue")
GROUP_ADD = Script("group_add")
GROUP_EXPIRE = Script("group_expire")
GROUP_COUNT = Script("group_count")
JOIN_GROUP = Script("join_group")
CLAIM_SHARDS = Script("claim_shards")
BEGIN_ROUND = Script("begin_round")
RENEW_MEMBERSHIPS = Script("renew_memberships")
END_ROUND = Script("end_round")
ADD_COUNTS = Script("add_counts")
CHANNEL_STATISTICS = Script("channel_statistics")
STORE_DELAYED = Script("store_delayed")
DUE_DELAYED = Script("due_delayed")
DELIVER_DELAYED = Script("deliver_delayed")
WAIT_DELAYED = Script("wait_delayed")
LIST_WAITING = Script("list_waiting")
PURGE = Script("purge")
REPORT_PROCESS = Script("report_process")
ASK_PROCESS = Script("ask_process")
