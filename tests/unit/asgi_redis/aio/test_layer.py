"""What a Channels 4 project relies on, over a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from asgi_redis.aio import RedisChannelLayer
from asgi_redis.exceptions import UnknownSetting
from tests.support.async_waiting import nothing_from, until, waits

pytestmark = pytest.mark.native("event loops in native threads")

HELLO = {"type": "chat.message", "text": "hello"}


@pytest.fixture
def layer(any_layer):
    return any_layer


def test_a_message_arrives_at_a_normal_channel(layer):
    async def run():
        await layer.send("work", HELLO)
        assert await layer.receive("work") == HELLO
        assert await nothing_from(layer, "work")

    asyncio.run(run())


def test_who_waits_already_is_served_at_once(layer):
    async def run():
        waiting = asyncio.ensure_future(layer.receive("work"))
        await until(lambda: waits(layer, "work"))
        await layer.send("work", HELLO)
        assert await asyncio.wait_for(waiting, 4) == HELLO

    asyncio.run(run())


def test_another_channel_may_be_waited_for_while_one_waits(layer):
    """The thread that blocks on the first is sent to both at once."""

    async def run():
        first = asyncio.ensure_future(layer.receive("first"))
        await until(lambda: waits(layer, "first"))
        second = asyncio.ensure_future(layer.receive("second"))
        await layer.send("second", HELLO)
        assert await asyncio.wait_for(second, 4) == HELLO
        await layer.send("first", HELLO)
        assert await asyncio.wait_for(first, 4) == HELLO

    asyncio.run(run())


def test_messages_to_one_channel_keep_their_order(layer):
    async def run():
        channel = await layer.new_channel()
        for number in range(50):
            await layer.send(channel, {"number": number})
        return [(await layer.receive(channel))["number"] for _ in range(50)]

    assert asyncio.run(run()) == list(range(50))


def test_no_more_is_taken_off_a_normal_channel_than_is_waited_for(layer):
    """Messages that no coroutine here waits for are left to other processes."""

    async def run():
        for number in range(5):
            await layer.send("work", {"number": number})
        assert await layer.receive("work") == {"number": 0}
        await asyncio.gather(layer.receive("work"), layer.receive("work"))

    asyncio.run(run())
    assert layer.layer.channel_statistics("work")["messages_pending"] == 2


def test_no_more_is_taken_off_a_normal_channel_when_a_process_local_one_is_waited_for_too(layer):
    async def run():
        local = await layer.new_channel()
        for number in range(5):
            await layer.send("work", {"number": number})
            await layer.send(local, {"number": number})
        waiting = [asyncio.ensure_future(layer.receive(name)) for name in (local, local, "work")]
        await asyncio.wait_for(asyncio.gather(*waiting), 5)

    asyncio.run(run())
    assert layer.layer.channel_statistics("work")["messages_pending"] == 4


class TestProcessLocalChannels:
    def test_new_channels_are_of_this_process_and_all_different(self, layer):
        async def run():
            names = {await layer.new_channel() for _ in range(100)}
            assert len(names) == 100
            assert all(name.startswith(f"specific.{layer.client_prefix}!") for name in names)
            assert (await layer.new_channel("chat")).startswith(f"chat.{layer.client_prefix}!")

        asyncio.run(run())

    def test_each_gets_its_own_messages_whoever_waits(self, layer):
        async def run():
            one, other = await layer.new_channel(), await layer.new_channel()
            await layer.send(other, {"for": "other"})
            waiting = asyncio.ensure_future(layer.receive(one))
            await until(lambda: layer._mailboxes.by_channel.get(other))  # it came along with what was looked for
            await layer.send(one, {"for": "one"})
            assert await waiting == {"for": "one"}
            assert await layer.receive(other) == {"for": "other"}

        asyncio.run(run())

    def test_those_of_other_processes_are_refused(self, layer):
        with pytest.raises(TypeError, match=r"specific\.0123!abc"):
            asyncio.run(layer.receive("specific.0123!abc"))

    def test_what_nobody_takes_is_kept_up_to_the_capacity_the_latest_longest(self, aio_for, redis_server):
        layer = aio_for(redis_server, channel_capacity={"small.*": 3})

        def kept(channel):
            mailbox = layer._mailboxes.by_channel.get(channel)
            return [message["number"] for _, message in list(mailbox.messages)] if mailbox else []

        async def run():
            small, other = await layer.new_channel("small"), await layer.new_channel("small")
            waiting = asyncio.ensure_future(layer.receive(other))
            for number in range(10):
                await layer.send(small, {"number": number})
                await until(lambda: kept(small)[-1:] == [number])  # noqa: B023  called before the next
            waiting.cancel()
            return [await layer.receive(small) for _ in range(3)]

        assert asyncio.run(run()) == [{"number": number} for number in (7, 8, 9)]
        assert layer.dropped_count == 7
        assert not layer._mailboxes.by_channel

    def test_what_nobody_takes_is_dropped_after_expiry_and_its_memory_returned(
        self, aio_for, redis_server, eventually
    ):
        layer = aio_for(redis_server, expiry=1)

        async def run():
            one, other = await layer.new_channel(), await layer.new_channel()
            waiting = asyncio.ensure_future(layer.receive(other))
            await layer.send(one, HELLO)
            await until(lambda: one in layer._mailboxes.by_channel)
            waiting.cancel()

        asyncio.run(run())
        eventually(lambda: not layer._mailboxes.by_channel, timeout=5)
        assert layer.dropped_count == 1

    def test_what_has_expired_in_a_buffer_is_not_handed_out(self, aio_for, redis_server):
        layer = aio_for(redis_server, expiry=1)

        async def run():
            one, other = await layer.new_channel(), await layer.new_channel()
            waiting = asyncio.ensure_future(layer.receive(other))
            await layer.send(one, HELLO)
            await until(lambda: one in layer._mailboxes.by_channel)
            await asyncio.sleep(1.05)  # the time that it takes to expire
            assert await nothing_from(layer, one)
            waiting.cancel()

        asyncio.run(run())
        assert layer.dropped_count == 1


class TestGroups:
    def test_a_hundred_local_channels_get_one_group_message_each(self, layer):
        async def run():
            names = [await layer.new_channel() for _ in range(100)]
            await asyncio.gather(*(layer.group_add("chat", name) for name in names))
            waiting = [asyncio.ensure_future(layer.receive(name)) for name in names]
            await until(lambda: waits(layer, names[-1]))
            assert await layer.group_send("chat", HELLO) == 0
            messages = await asyncio.wait_for(asyncio.gather(*waiting), 5)
            assert messages == [HELLO] * 100
            messages[0]["text"] = "changed"
            assert messages[1] == HELLO

        asyncio.run(run())

    def test_who_has_left_gets_nothing(self, layer):
        async def run():
            here, gone = await layer.new_channel(), await layer.new_channel()
            for name in (here, gone):
                await layer.group_add("chat", name)
            await layer.group_discard("chat", gone)
            await layer.group_send("chat", HELLO)
            assert await layer.receive(here) == HELLO
            assert await nothing_from(layer, gone)

        asyncio.run(run())

    def test_members_are_counted_and_excluded_ones_get_nothing(self, layer):
        async def run():
            names = [await layer.new_channel() for _ in range(3)]
            await asyncio.gather(*(layer.group_add("chat", name) for name in names))
            assert await layer.group_count("chat") == 3
            assert sorted(await layer.group_channels("chat")) == sorted(names)
            assert await layer.group_send("chat", HELLO, exclude=names[:1]) == 0
            assert await asyncio.gather(*map(layer.receive, names[1:])) == [HELLO] * 2
            assert await nothing_from(layer, names[0])

        asyncio.run(run())

    def test_full_channels_are_left_out_and_counted(self, aio_for, redis_server):
        layer = aio_for(redis_server, capacity=1)

        async def run():
            await layer.group_add("chat", "full")
            await layer.group_add("chat", "free")
            await layer.send("full", HELLO)
            return await layer.group_send("chat", HELLO)

        assert asyncio.run(run()) == 1

    def test_members_on_all_shards_are_served(self, aio_for, three_redis_servers):
        layer = aio_for(*three_redis_servers)

        async def run():
            names = [f"member{number}" for number in range(30)] + [await layer.new_channel() for _ in range(3)]
            await asyncio.gather(*(layer.group_add("chat", name) for name in names))
            assert await layer.group_send("chat", HELLO) == 0
            return await asyncio.gather(*map(layer.receive, names))

        assert asyncio.run(run()) == [HELLO] * 33


def test_flush_deletes_messages_buffers_and_groups(layer):
    async def run():
        one, other = await layer.new_channel(), await layer.new_channel()
        await layer.group_add("chat", one)
        await layer.send("work", HELLO)
        await layer.send(one, HELLO)
        waiting = asyncio.ensure_future(layer.receive(other))
        await until(lambda: one in layer._mailboxes.by_channel)
        await layer.flush()
        waiting.cancel()
        await layer.group_send("chat", HELLO)
        assert await nothing_from(layer, one)
        assert await nothing_from(layer, "work")

    asyncio.run(run())


def test_the_helpers_of_channels_base_class_are_there(layer):
    assert layer.extensions == ["groups", "flush"]
    assert layer.require_valid_channel_name("work")
    assert layer.require_valid_group_name("chat")
    assert layer.valid_channel_names(["a", "b!"], receive=True)
    assert layer.non_local_name("a!b") == "a!"
    assert (layer.capacity, layer.expiry, layer.group_expiry) == (100, 60, 86400)
    assert layer.get_capacity("work") == 100
    assert layer.match_type_and_length("x" * 99)
    assert not layer.match_type_and_length("x" * 100)
    assert layer.compile_capacities({"a*": 7})[0][0].match("abc")
    assert layer.deserialize(layer.serialize(HELLO)) == HELLO
    with pytest.raises(TypeError):
        layer.valid_group_name("not valid")


def test_the_text_of_a_layer_shows_no_password(aio_for):
    layer = aio_for("redis://:secret@localhost:1")
    assert "localhost" in str(layer)
    assert "secret" not in str(layer)


def test_the_synchronous_layer_serves_beside_it(layer):
    async def run():
        await layer.group_add("chat", channel := await layer.new_channel())
        waiting = asyncio.ensure_future(layer.receive(channel))
        await asyncio.get_running_loop().run_in_executor(None, layer.layer.send_group, "chat", HELLO)
        assert await waiting == HELLO

    asyncio.run(run())


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("group_leas", "group_lease"), ("on_reconect", "on_reconnect"), ("capasity", "capacity"), ("prefx", "prefix")],
)
def test_a_misspelt_setting_is_named_with_the_one_that_is_meant(aio_for, redis_server, wrong, meant):
    with pytest.raises(UnknownSetting, match=rf"no setting '{wrong}'; did you mean '{meant}'\?"):
        aio_for(redis_server, **{wrong: "x"})


def test_an_unknown_setting_is_named_with_all_that_there_are(aio_for, redis_server):
    with pytest.raises(UnknownSetting, match=r"'zzz'; it has: hosts, .*capacity, .*, group_lease"):
        aio_for(redis_server, zzz=1)


def test_hosts_come_by_position_or_by_name_and_not_twice():
    url = "redis://localhost:1"
    assert str(RedisChannelLayer([url]).layer) == str(RedisChannelLayer(hosts=[url]).layer)
    with pytest.raises(TypeError, match="multiple values for keyword argument 'hosts'"):
        RedisChannelLayer([url], hosts=[url])
