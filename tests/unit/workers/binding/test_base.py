"""Bindings of models, whatever the format of their messages."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest

pytest.importorskip("django")

from tests.support.workers.fakes import FakeLayer, message
from workers.binding import Binding
from workers.binding.base import CREATE, DELETE, UPDATE, BindingMetaclass
from workers.signals import consumer_finished, consumer_started

pytestmark = pytest.mark.usefixtures("database")

BODY = {"model": "auth.Group", "fields": ("name",), "stream": "groups"}


class Format:
    """Messages for the groups of Django's users. ``done`` has what was asked for."""

    done: list[Any]

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        return {"on": stream, **payload}

    @classmethod
    def group_names(cls, instance: Any) -> Any:
        return [instance.name]

    def serialize(self, instance: Any, action: str) -> Any:
        return {"action": action, "name": self.instance.name}  # type: ignore[attr-defined]

    def deserialize(self, message: Any) -> Any:
        return message["action"], message.get("pk"), message.get("data")

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        self.done.append((str(user), action, pk, self.kwargs))  # type: ignore[attr-defined]
        return bool(pk != 0)

    def create(self, data: Any) -> None:
        self.done.append(data)

    def update(self, pk: Any, data: Any) -> None:
        self.done.append((pk, data))


def binding(**attributes: Any) -> Any:
    return BindingMetaclass("GroupBinding", (Format, Binding), {**BODY, "done": [], **attributes})


def groups() -> Any:
    from django.contrib.auth.models import Group

    return Group.objects


def test_an_object_is_sent_to_its_groups_when_it_is_created_changed_and_deleted(layer: FakeLayer) -> None:
    binding()
    group = groups().create(name="a")
    group.save()
    group.delete()
    assert layer.sent == [
        ("group a", {"on": "groups", "action": action, "name": "a"}) for action in (CREATE, UPDATE, DELETE)
    ]


def test_objects_that_a_query_deletes_are_sent_and_those_that_it_updates_are_not(layer: FakeLayer) -> None:
    binding()
    groups().create(name="a")
    layer.sent.clear()
    groups().filter(name="a").update(name="b")
    groups().filter(name="b").delete()
    assert [(name, sent["action"]) for name, sent in layer.sent] == [("group b", DELETE)]


def test_an_object_is_created_and_deleted_for_groups_that_it_joins_and_leaves(layer: FakeLayer) -> None:
    # By the stored name: it is the old one before the change.
    binding(group_names=classmethod(lambda cls, one: groups().get(pk=one.pk).name.split()))
    group = groups().create(name="a b")
    layer.sent.clear()
    group.name = "b c"
    group.save()
    assert [(name, sent["action"]) for name, sent in layer.sent] == [
        ("group a", DELETE),
        ("group b", UPDATE),
        ("group c", CREATE),
    ]
    layer.sent.clear()
    group.delete()
    assert sorted(name for name, _ in layer.sent) == ["group b", "group c"]


def test_each_binding_of_a_model_sends(layer: FakeLayer) -> None:
    binding(stream="one")
    binding(stream="two")
    groups().create(name="a").delete()
    assert [sent["on"] for _, sent in layer.sent] == ["one", "two", "one", "two"]


def test_nothing_is_sent_to_no_group_or_for_an_empty_payload(layer: FakeLayer) -> None:
    binding(group_names=classmethod(lambda cls, one: []), serialize=None)
    binding(serialize=lambda *args: {}, encode=None)
    groups().create(name="a").delete()
    assert layer.sent == []


def test_the_payload_may_depend_on_the_arguments_of_the_signal(layer: FakeLayer) -> None:
    binding(serialize=lambda self, *args: {"fields": self.signal_kwargs.get("update_fields")})
    group = groups().create(name="a")
    group.save(update_fields=["name"])
    group.delete()
    assert [sent["fields"] for _, sent in layer.sent] == [None, frozenset({"name"}), None]


def test_in_a_consumer_it_is_sent_when_the_consumer_is_done(layer: FakeLayer) -> None:
    binding()
    consumer_started.send(None)
    groups().create(name="a").delete()
    assert layer.sent == []
    consumer_finished.send(None)
    assert len(layer.sent) == 2


def test_without_a_stream_there_is_an_error_that_names_the_binding(layer: FakeLayer) -> None:
    binding(stream=None)
    with pytest.raises(ValueError, match=r"GroupBinding.*stream"):
        groups().create(name="a")
    BindingMetaclass.binding_classes[-1].stream = "groups"
    groups().filter(name="a").delete()


def test_the_actions_of_clients_are_carried_out(layer: FakeLayer) -> None:
    bound = binding(channel_session_user=False)
    bound.consumer(message(action="create", data={"name": "a"}), room="1")
    bound.consumer(message(action="update", pk=3, data={"name": "b"}))
    anonymous = "AnonymousUser"
    assert bound.done == [
        (anonymous, "create", None, {"room": "1"}),
        {"name": "a"},
        (anonymous, "update", 3, {}),
        (3, {"name": "b"}),
    ]
    group = groups().create(name="a")
    bound.consumer(message(action="delete", pk=group.pk))
    bound.consumer(message(action="delete", pk=group.pk))
    assert not groups().exists()


def test_an_action_that_is_not_permitted_is_left_out(layer: FakeLayer) -> None:
    bound = binding(channel_session_user=False)
    bound.consumer(message(action="update", pk=0))
    assert bound.done == [("AnonymousUser", "update", 0, {})]


def test_an_unknown_action_is_an_error(layer: FakeLayer) -> None:
    with pytest.raises(ValueError, match=r"create, update or delete, not 'drop'"):
        binding(channel_session_user=False).consumer(message(action="drop"))


def test_the_user_and_the_session_come_from_the_channel_session(layer: FakeLayer) -> None:
    received: Any = message(reply_channel="binding!1", action="update")
    binding().consumer(received)
    assert received.user.is_anonymous
    received = message(reply_channel="binding!1", action="update")
    binding(channel_session_user=False, channel_session=True).consumer(received)
    assert received.channel_session.session_key
    assert not hasattr(received, "user")


def test_a_base_of_bindings_has_a_model_of_none(layer: FakeLayer) -> None:
    base = BindingMetaclass("Base", (Format, Binding), {"model": None})
    assert base.get_registered_models() == []  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"Child.*model"):
        BindingMetaclass("Child", (base,), {"fields": ["name"]})


@pytest.mark.parametrize(
    ("attributes", "error", "words"),
    [
        ({"fields": None}, ValueError, r"GroupBinding.*fields.*exclude"),
        ({"fields": "name"}, ValueError, "list of names, not the string 'name'"),
        ({"fields": None, "exclude": "name"}, ValueError, "list of names, not the string 'name'"),
        ({"model": "auth.Nothing"}, LookupError, "Nothing"),
    ],
)
def test_a_faulty_binding_is_refused_at_its_definition(attributes: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        binding(**attributes)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("encode", ("stream", {})),
        ("group_names", (None,)),
        ("serialize", (None, CREATE)),
        ("deserialize", (None,)),
        ("has_permission", (None, CREATE, None)),
        ("create", ({},)),
        ("update", (1, {})),
    ],
)
def test_a_missing_method_is_named(method: str, arguments: Any) -> None:
    plain: Any = BindingMetaclass("Plain", (Binding,), BODY)
    with pytest.raises(NotImplementedError, match=f"Plain has no method {method}"):
        getattr(plain(), method)(*arguments)


def test_bindings_are_connected_once_the_models_are_loaded() -> None:
    program = """
        import django
        from django.conf import settings

        settings.configure(INSTALLED_APPS=["workers", "django.contrib.contenttypes", "django.contrib.auth"])
        import workers.apps
        from workers.binding import Binding

        class Early(Binding):
            model, fields = "auth.Group", ["__all__"]
            @classmethod
            def group_names(cls, instance):
                print(cls.__name__, cls.model_label)
                return []

        django.setup()

        class Late(Early):
            pass

        from django.contrib.auth.models import Group
        from django.db.models.signals import post_save, pre_save
        group = Group()
        pre_save.send(Group, instance=group)
        post_save.send(Group, instance=group, created=True)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout, run.stderr) == ("Early auth.group\nLate auth.group\n", "")
