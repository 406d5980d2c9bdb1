"""What the nodes of a cluster say instead of an answer, in the words of each version of redis-py."""

from __future__ import annotations

import pytest
from redis.exceptions import AuthenticationError, BusyLoadingError, ConnectionError, ResponseError, TimeoutError

from asgi_redis.connection.errors import NoFreeConnection, unsent
from asgi_redis.connection.redirection import (
    Redirection,
    has_partly_moved,
    is_cluster_down,
    is_refused_by_cluster,
    is_try_again,
    redirection,
)
from asgi_redis.connection.redis_py import parse_error

MOVED = "MOVED 3999 127.0.0.1:6381"
ASK = "ASK 3999 node.example:6381"
TRY_AGAIN = "TRYAGAIN Multiple keys request during rehashing of slot"
DOWN = "CLUSTERDOWN The cluster is down"


def parsed(text):
    return [parse_error(text), ResponseError(text)]  # redis-py before 5.1 knows none of these


@pytest.mark.parametrize("error", parsed(MOVED))
def test_a_slot_that_has_moved(error):
    assert redirection(error) == Redirection(True, "127.0.0.1", 6381, 3999)
    assert not has_partly_moved(error)


@pytest.mark.parametrize("error", parsed(ASK))
def test_a_slot_that_is_on_its_way(error):
    assert redirection(error) == Redirection(False, "node.example", 6381, 3999)
    assert has_partly_moved(error)


def test_addresses_without_a_host_and_of_ip_6():
    assert redirection(parse_error("MOVED 5 :7000")) == Redirection(True, "", 7000, 5)
    assert redirection(parse_error("MOVED 5 ::1:7000")) == Redirection(True, "::1", 7000, 5)


@pytest.mark.parametrize("text", ["ERR unknown command", "WRONGTYPE not a set", "NOSCRIPT No matching script"])
def test_other_errors_send_nowhere(text):
    assert redirection(parse_error(text)) is None
    assert not is_refused_by_cluster(parse_error(text))


@pytest.mark.parametrize("error", [*parsed(TRY_AGAIN)])
def test_keys_on_two_nodes(error):
    assert is_try_again(error)
    assert has_partly_moved(error)
    assert is_refused_by_cluster(error)


@pytest.mark.parametrize("text", [DOWN, "CLUSTERDOWN Hash slot not served"])
def test_a_cluster_that_does_not_serve(text):
    for error in parsed(text):
        assert is_cluster_down(error)
        assert is_refused_by_cluster(error)


def test_refusals_that_another_attempt_may_help():
    assert is_refused_by_cluster(BusyLoadingError("loading"))
    assert is_refused_by_cluster(unsent(ConnectionError("refused")))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("the reply did not come"),
        TimeoutError("no reply"),
        unsent(AuthenticationError("wrong password")),
        unsent(NoFreeConnection("all in use")),
    ],
)
def test_what_may_have_been_done_or_would_fail_again_is_no_refusal(error):
    assert not is_refused_by_cluster(error)
