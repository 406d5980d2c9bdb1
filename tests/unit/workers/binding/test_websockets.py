"""Bindings of models for websockets."""

from __future__ import annotations

import datetime
import json
import logging
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("django")

from asgi_redis import InMemoryChannelLayer
from tests.support.workers.fakes import FakeLayer, message
from workers.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from workers.generic.websockets import WebsocketDemultiplexer
from workers.routing import Router
from workers.runtime.dispatcher import Dispatcher

pytestmark = pytest.mark.usefixtures("database")

CONNECT, RECEIVE, DISCONNECT = "websocket.connect", "websocket.receive", "websocket.disconnect"
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


def binding(model: Any, base: Any = WebsocketBinding, **attributes: Any) -> Any:
    """Returns a binding that sends all objects to the group "all", and permits all."""
    body = {
        "model": model,
        "stream": "objects",
        "group_names": classmethod(lambda cls, instance: ["all"]),
        "has_permission": lambda self, user, action, pk: True,
        "channel_session_user": False,
    }
    return type(base)("ObjectBinding", (base,), {**body, **attributes})


def ask(bound: Any, action: str, pk: Any = None, data: Any = None) -> None:
    bound.consumer(message(RECEIVE, text=json.dumps({"action": action, "pk": pk, "data": data})))


def frames(layer: FakeLayer) -> list[Any]:
    return [json.loads(sent["text"]) for _, sent in layer.sent if "text" in sent]


def models() -> Any:
    from django.contrib.auth import models

    return models


@pytest.fixture
def group(layer: FakeLayer) -> Any:
    yield models().Group.objects.create(name="a")
    models().Group.objects.all().delete()


@pytest.fixture
def permissions() -> Any:
    return models().Permission.objects.order_by("pk")[:3]


def test_the_frame_has_the_stream_and_the_fields(layer: FakeLayer) -> None:
    binding("auth.Group", fields=["name"])
    group = models().Group.objects.create(name="a")
    pk = group.pk
    group.delete()
    assert layer.sent[0][0] == "group all"
    assert frames(layer) == [
        {
            "stream": "objects",
            "payload": {"action": action, "pk": pk, "data": {"name": "a"}, "model": "auth.group"},
        }
        for action in ("create", "delete")
    ]


@pytest.mark.parametrize(
    ("attributes", "fields"),
    [
        ({"fields": ["__all__"]}, {"name", "permissions"}),
        ({"fields": "__all__"}, {"name", "permissions"}),
        ({"fields": ("name",)}, {"name"}),
        ({"fields": []}, set()),
        ({"exclude": ["name"]}, {"permissions"}),
        ({"exclude": []}, {"name", "permissions"}),
    ],
)
def test_clients_see_the_chosen_fields(attributes: Any, fields: set[str], group: Any) -> None:
    assert set(binding("auth.Group", **attributes)().serialize_data(group)) == fields


def test_relations_and_dates_are_sent_as_values_of_json(group: Any, permissions: Any) -> None:
    group.permissions.set(permissions)
    data = binding("auth.Group", fields=["permissions"])().serialize_data(group)
    assert sorted(data["permissions"]) == [one.pk for one in permissions]
    user = models().User(date_joined=MOMENT)
    assert binding("auth.User", fields=["date_joined"])().serialize_data(user) == {
        "date_joined": "2026-01-02T03:04:05Z"
    }


def test_members_of_the_object_are_sent_too(permissions: Any) -> None:
    bound = binding(
        "auth.Permission",
        WebsocketBindingWithMembers,
        fields=["codename"],
        send_members=["natural_key", "content_type.app_label", "pk", "price"],
    )
    one = permissions[0]
    one.price = Decimal("1.50")
    assert bound().serialize_data(one) == {
        "codename": one.codename,
        "natural_key": list(one.natural_key()),
        "content_type__app_label": one.content_type.app_label,
        "pk": one.pk,
        "price": "1.50",
    }


def test_a_client_creates_changes_and_deletes_an_object(layer: FakeLayer) -> None:
    bound = binding("auth.Group", fields=["name"])
    ask(bound, "create", data={"name": "a"})
    group = models().Group.objects.get()
    ask(bound, "update", pk=str(group.pk), data={"name": "b"})
    group.refresh_from_db()
    assert group.name == "b"
    ask(bound, "delete", pk=group.pk)
    assert not models().Group.objects.exists()
    assert [frame["payload"]["action"] for frame in frames(layer)] == ["create", "update", "delete"]


def test_fields_that_a_client_does_not_send_stay(layer: FakeLayer) -> None:
    user = models().User.objects.create(username="ada", email="a@example.org", date_joined=MOMENT)
    ask(binding("auth.User", fields=["__all__"]), "update", pk=user.pk, data={"date_joined": "2026-02-03T00:00:00Z"})
    user.refresh_from_db()
    assert (user.email, user.date_joined.month) == ("a@example.org", 2)
    user.delete()


@pytest.mark.parametrize("attributes", [{"fields": ["first_name"]}, {"exclude": ["username", "is_superuser"]}])
def test_a_client_sets_no_field_that_it_does_not_see(layer: FakeLayer, attributes: Any) -> None:
    bound = binding("auth.User", **attributes)
    ask(bound, "create", data={"first_name": "Ada", "username": "root", "is_superuser": True})
    user = models().User.objects.get()
    assert (user.first_name, user.username, user.is_superuser) == ("Ada", "", False)
    ask(bound, "update", pk=user.pk, data={"first_name": "Eva", "is_superuser": True})
    user.refresh_from_db()
    assert (user.first_name, user.is_superuser) == ("Eva", False)
    user.delete()


@pytest.mark.parametrize("name", ["unknown", "pk", "user", "user_set"])
def test_what_is_no_field_of_the_model_is_left_out(layer: FakeLayer, name: str) -> None:
    """Also a relation that another model has to this one."""
    ask(binding("auth.Group", fields=["__all__"]), "create", data={"name": "a", name: [1]})
    models().Group.objects.get(name="a").delete()


def test_a_foreign_key_is_set_and_is_hidden_under_both_of_its_names(layer: FakeLayer, permissions: Any) -> None:
    one = permissions[0]
    types = models().Permission._meta.get_field("content_type").related_model.objects
    old, new = one.content_type_id, types.exclude(pk=one.content_type_id).first().pk
    ask(binding("auth.Permission", fields=["content_type"]), "update", pk=one.pk, data={"content_type": new})
    one.refresh_from_db()
    assert one.content_type_id == new
    for name in ("content_type", "content_type_id"):
        hiding = binding("auth.Permission", exclude=[name])
        ask(hiding, "update", pk=one.pk, data={"content_type": old, "content_type_id": old, "name": f"no {name}"})
        one.refresh_from_db()
        assert (one.content_type_id, one.name) == (new, f"no {name}")


def test_a_relation_to_many_is_set(layer: FakeLayer, permissions: Any) -> None:
    bound = binding("auth.Group", fields=["__all__"])
    first, *others = [one.pk for one in permissions]
    ask(bound, "create", data={"name": "a", "permissions": [first]})
    group = models().Group.objects.get()
    assert [one.pk for one in group.permissions.all()] == [first]
    ask(bound, "update", pk=group.pk, data={"permissions": others})
    assert sorted(one.pk for one in group.permissions.all()) == others
    group.delete()


@pytest.mark.parametrize(
    "attributes", [{"fields": ["__all__"]}, {"exclude": ["permissions"]}, {"fields": ["id", "name"]}]
)
def test_a_client_overwrites_no_other_object_by_its_primary_key(
    layer: FakeLayer, group: Any, attributes: Any
) -> None:
    from django.db import IntegrityError

    bound = binding("auth.Group", **attributes)
    other = models().Group.objects.create(name="b")
    ask(bound, "update", pk=other.pk, data={"id": group.pk, "name": "c"})
    if "id" in attributes.get("fields", ()):
        with pytest.raises(IntegrityError):
            ask(bound, "create", data={"id": group.pk, "name": "d"})
    else:
        ask(bound, "create", data={"id": group.pk, "name": "d"})
    names = dict(models().Group.objects.values_list("pk", "name"))
    assert names[group.pk] == "a"
    assert names[other.pk] == "c"


def test_a_client_chooses_a_primary_key_that_the_fields_name(layer: FakeLayer) -> None:
    from django.contrib.sessions.models import Session

    bound = binding("sessions.Session", fields=["session_key", "session_data", "expire_date"])
    ask(bound, "create", data={"session_key": "k", "session_data": "x", "expire_date": "2026-01-02T03:04:05Z"})
    assert Session.objects.get(pk="k").expire_date == MOMENT
    Session.objects.all().delete()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"data": {}}', "has an action"),
        ("[]", "has an action"),
        ("{", "property name"),
        ('{"action": "create"}', "dict of fields"),
        ('{"action": "update", "pk": PK, "data": [1]}', "dict of fields"),
    ],
)
def test_a_bad_payload_is_an_error(layer: FakeLayer, text: str, words: str, group: Any) -> None:
    with pytest.raises(ValueError, match=words):
        binding("auth.Group", fields=["name"]).consumer(message(RECEIVE, text=text.replace("PK", str(group.pk))))


def test_a_bad_value_and_an_object_that_is_not_there_are_errors(layer: FakeLayer, group: Any) -> None:
    from django.core.exceptions import ObjectDoesNotExist
    from django.core.serializers.base import DeserializationError

    with pytest.raises(ObjectDoesNotExist):
        ask(binding("auth.Group", fields=["name"]), "update", pk=group.pk + 1, data={"name": "b"})
    user = models().User.objects.create(username="ada")
    with pytest.raises(DeserializationError):
        ask(binding("auth.User", fields=["date_joined"]), "update", pk=user.pk, data={"date_joined": "now"})
    user.delete()


def test_clients_that_come_and_go_change_nothing(layer: FakeLayer) -> None:
    bound = binding("auth.Group", fields=["name"])
    for channel in (CONNECT, DISCONNECT):
        bound.consumer(message(channel, text='{"action": "create", "data": {"name": "a"}}'))
    assert not models().Group.objects.exists()


def test_slight_ordering_is_refused() -> None:
    with pytest.raises(ValueError, match="slight_ordering"):
        binding("auth.Group", fields=["name"], slight_ordering=True).get_handler()


def test_messages_are_handled_in_their_order_if_asked_for(layer: FakeLayer) -> None:
    from workers.sessions import wait_channel_name

    bound = binding("auth.Group", fields=["name"], strict_ordering=True)
    bound.consumer(message(RECEIVE, layer, reply_channel="binding!ordered", order=1, text="{}"))
    assert layer.sent[0][0] == wait_channel_name("binding!ordered")


def test_a_frame_that_comes_early_to_a_stream_waits_as_it_was() -> None:
    bound = binding("auth.Group", fields=["name"], strict_ordering=True, group_names=classmethod(lambda *_: []))

    class Demultiplexer(WebsocketDemultiplexer):
        consumers = {"objects": bound.consumer}

    client = {"reply_channel": "binding!early", "path": "/"}
    with InMemoryChannelLayer() as layer:
        dispatcher = Dispatcher(Router([Demultiplexer.as_route(path="/")]), layer, None)
        dispatcher.dispatch(CONNECT, {**client, "order": 0})
        for order in (2, 1):
            frame = {"stream": "objects", "payload": {"action": "create", "data": {"name": f"{order}"}}}
            dispatcher.dispatch(RECEIVE, {**client, "order": order, "text": json.dumps(frame)})
    groups = models().Group.objects.order_by("pk")
    assert [group.name for group in groups] == ["1", "2"]
    groups.delete()


def test_a_demultiplexer_serves_it(layer: FakeLayer, caplog: pytest.LogCaptureFixture) -> None:
    bound = binding("auth.Group", fields=["name"], channel_session_user=True)

    class Demultiplexer(WebsocketDemultiplexer):
        consumers = {"objects": bound.consumer}
        groups = ["all"]

    dispatcher = Dispatcher(Router([Demultiplexer.as_route(path="/")]), layer, None)  # type: ignore[arg-type]
    client = {"reply_channel": "binding!demultiplexed", "path": "/"}
    dispatcher.dispatch(CONNECT, dict(client))
    assert layer.sent == [("binding!demultiplexed", {"accept": True})]
    assert layer.members == {"all": {"binding!demultiplexed"}}
    frame = {"stream": "objects", "payload": {"action": "create", "data": {"name": "a"}}}
    dispatcher.dispatch(RECEIVE, {**client, "text": json.dumps(frame)})
    assert [sent["payload"]["data"] for sent in frames(layer)] == [{"name": "a"}]
    dispatcher.dispatch(DISCONNECT, dict(client))
    assert layer.members == {"all": set()}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    models().Group.objects.all().delete()
