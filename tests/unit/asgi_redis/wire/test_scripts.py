"""The scripts: their headers describe them, slot by slot, and the loader finds them."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

import pytest

from asgi_redis.wire import scripts

SCRIPTS = {script.name: script for script in vars(scripts).values() if isinstance(script, scripts.Script)}
LUA = resources.files("asgi_redis.wire") / "lua"
FRAGMENTS = {
    "_account.lua",
    "_clock.lua",
    "_count.lua",
    "_list.lua",
    "_push.lua",
    "_send_group.lua",
    "_start_push.lua",
    "_time.lua",
    "_trim.lua",
}
MOST_LINES = 80

SLOT = re.compile(r"-- (KEYS|ARGV)\[([^\]]+)\]\s+(\w+)\s+\S")
USE = re.compile(r"\b(KEYS|ARGV)\[([^\]]+)\]")


def split(script):
    """Returns the header's lines and the body, without its comments."""
    lines = script.text.decode().splitlines()
    length = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    return lines[:length], "\n".join(line.partition("--")[0] for line in lines[length:])


def is_range(slot):
    return ".." in slot


@pytest.fixture(params=sorted(SCRIPTS))
def script(request):
    return SCRIPTS[request.param]


def test_every_lua_file_is_a_script_of_its_name():
    assert {path.name for path in LUA.iterdir()} == {f"{name}.lua" for name in SCRIPTS} | FRAGMENTS
    assert all(getattr(scripts, name.upper()).name == name for name in SCRIPTS)


def test_the_sha_is_what_redis_calls_the_script(script, redis_server):
    import redis

    with redis.Redis(port=redis_server.port, protocol=2) as client:
        assert client.script_load(script.text) in (script.sha.decode(), script.sha)
    assert script.sha.decode() == hashlib.sha1(script.text).hexdigest()


def test_a_script_shows_its_name(script):
    assert repr(script) == f"<Script {script.name}>"


def test_it_is_short(script):
    assert len((LUA / f"{script.name}.lua").read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("fragment", sorted(FRAGMENTS))
def test_what_scripts_have_in_common_is_in_several_of_them_and_explained(fragment):
    text = (LUA / fragment).read_text()
    first, _, _ = text.partition("\n")
    assert sum(first in script.text.decode() for script in SCRIPTS.values()) > 1
    assert first.startswith("-- ")
    assert "Needs the local" in text.replace("\n-- ", " ")


def test_nothing_is_left_to_include(script):
    assert b"-- include" not in script.text


def test_the_header_opens_with_one_sentence_of_purpose(script):
    header, _ = split(script)
    assert header[1] == "--"
    assert re.fullmatch(r"-- [A-Z][^.]+\.", header[0])


def test_the_header_says_what_is_returned_and_why_it_must_be_a_script(script):
    header, _ = split(script)
    assert sum(line.startswith("-- Returns ") for line in header) == 1
    why = [line for line in header if re.match(r"-- (Atomic|A script)\b", line)]
    assert len(why) == 1


def test_the_header_names_every_slot_that_the_body_reads_and_no_other(script):
    header, body = split(script)
    declared = {match.group(1, 2) for match in map(SLOT.match, header) if match}
    assert len(declared) == sum(line.startswith(("-- KEYS[", "-- ARGV[")) for line in header)
    read = set(USE.findall(body))
    fixed = {slot for slot in declared if not is_range(slot[1]) and slot[1].isdigit()}
    assert fixed == {slot for slot in read if slot[1].isdigit()}
    # Where there are as many slots as queues, the body computes their numbers, or takes all of them.
    for kind in ("KEYS", "ARGV"):
        ranges = [slot for slot in declared - fixed if slot[0] == kind]
        computed = [slot for slot in read if slot[0] == kind and not slot[1].isdigit()]
        takes_all = re.search(rf"\b{kind}\b(?!\[)(?!\s*-)", re.sub(rf"#{kind}", "", body)) is not None
        assert len(ranges) == len(computed) + takes_all


def test_every_slot_is_bound_to_the_local_that_the_header_names(script):
    header, body = split(script)
    bound = {}
    for names, values in re.findall(r"local ([\w, ]+) = ([^\n]+)", body):
        # Split at the commas outside parentheses: tonumber(ARGV[1]) is one value.
        parts = re.split(r",\s*(?![^(]*\))", values)
        for name, value in zip(names.split(", "), parts):
            for slot in USE.findall(value):
                bound[slot] = name
    for slot, name in ((match.group(1, 2), match.group(3)) for match in map(SLOT.match, header) if match):
        if slot[1].isdigit():
            assert bound.pop(slot) == name
    plurals = {match.group(3) for match in map(SLOT.match, header) if match}
    for slot, name in bound.items():
        assert {name, f"{name}s", f"{name[:-1]}ies"} & plurals, (slot, name)
    # And nothing reads a slot except to bind it.
    assert len(USE.findall(body)) == len(USE.findall("\n".join(re.findall(r"local [\w, ]+ = [^\n]+", body))))


def test_it_asks_for_replication_of_effects_before_it_writes_after_time(script):
    _, body = split(script)
    writes = re.search(r"call\('(?:Z(?:ADD|REM|POP)|HINCRBY|P?EXPIRE)", body)
    if writes and "'TIME'" in body:
        assert body.index("redis.replicate_commands()") < body.index("'TIME'")
