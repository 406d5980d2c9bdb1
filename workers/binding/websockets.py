"""
Bindings for websockets, by the streams of a ``WebsocketDemultiplexer``.

An outbound frame is ``{"stream": ..., "payload": {"action": ..., "pk": ..., "data": {...}, "model": ...}}``. An
inbound frame has no ``model``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Callable, ClassVar

from django.core import serializers
from django.core.serializers.json import DjangoJSONEncoder

from workers.binding.base import ALL_FIELDS, Binding
from workers.generic.websockets import WebsocketMultiplexer
from workers.message import Message
from workers.sessions import enforce_ordering


class WebsocketBinding(Binding):
    """
    A binding in JSON, by Django's serialisers.

    Define ``group_names`` for outbound messages, and ``has_permission`` for inbound ones. ``serialize_data``,
    ``create`` and ``update`` may be replaced.

    A client may set the fields that it sees. What else it sends is left out. The primary key of a new object is left
    out, too, unless ``fields`` names it; that of an object never changes.

    Attributes:
        stream: The name of the stream.
        strict_ordering: Whether the messages of a client are handled one after the other, in their order. For the
            only stream of a websocket. With several, set it on the demultiplexer: here, the binding would wait
            without end for the frames of other streams, as in Channels 1.
    """

    model: ClassVar[Any] = None
    strict_ordering: ClassVar[bool] = False
    slight_ordering: ClassVar[bool] = False

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the frame that carries ``payload`` on a stream."""
        return WebsocketMultiplexer.encode(stream, payload)

    def serialize(self, instance: Any, action: str) -> Any:
        """Return the payload of the frame about a change to an object."""
        return {
            "action": action,
            "pk": instance.pk,
            "data": self.serialize_data(instance),
            "model": self.model_label,
        }

    def serialize_data(self, instance: Any) -> dict[str, Any]:
        """Return the fields that clients see, as values for JSON."""
        names: list[str] | None = None
        if self.fields is None:
            hidden = set(self.exclude or ())
            names = [field.name for field in instance._meta.get_fields() if field.name not in hidden]
        elif not _are_all(self.fields):
            names = list(self.fields)
        data: dict[str, Any] = json.loads(serializers.serialize("json", [instance], fields=names))[0]["fields"]
        return data

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        """Return the handler. Raises ``ValueError`` for ``slight_ordering``."""
        handler = super().get_handler()
        if cls.strict_ordering:
            return enforce_ordering(handler)
        if cls.slight_ordering:
            raise ValueError("messages are always in slight order: remove slight_ordering = True")
        return handler

    @classmethod
    def trigger_inbound(cls, message: Message, **kwargs: Any) -> None:
        """Carry out the action of a frame; do nothing when a client comes or goes."""
        if message.channel.name == "websocket.receive":
            super().trigger_inbound(message, **kwargs)

    def deserialize(self, message: Message) -> tuple[str, Any, Any]:
        """
        Return the action, the primary key and the data of a payload.

        Raises ``ValueError`` when the payload has no action, or is not JSON.
        """
        body = json.loads(message["text"])
        if not isinstance(body, dict) or "action" not in body:
            raise ValueError("the payload for a binding has an action")
        return body["action"], body.get("pk"), body.get("data")

    def create(self, data: Any) -> None:
        """Create an object of the fields that the client may set."""
        created = self._hydrate(None, self._permitted(data))
        # Otherwise the primary key of another object would overwrite it.
        created.object.save(force_insert=True)
        _set_relations(created.object, created.m2m_data)

    def update(self, pk: Any, data: Any) -> None:
        """
        Change the fields that the client may set.

        Raises the ``DoesNotExist`` of the model when there is no such object.
        """
        instance = self.model.objects.get(pk=pk)
        data = self._permitted(data)
        hydrated = self._hydrate(pk, data)
        for name in data:
            field = self.model._meta.get_field(name)
            if not (field.primary_key or field.many_to_many):
                setattr(instance, field.attname, getattr(hydrated.object, field.attname))
        instance.save()
        _set_relations(instance, hydrated.m2m_data)

    def _hydrate(self, pk: Any, data: dict[str, Any]) -> Any:
        """Return Django's ``DeserializedObject`` of the data; overridden methods use it."""
        [hydrated] = serializers.deserialize("python", [{"pk": pk, "model": self.model_label, "fields": data}])
        return hydrated

    def _permitted(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise ValueError("the data for a binding is a dict of fields")
        return {name: value for name, value in data.items() if self._may_set(name)}

    def _may_set(self, name: str) -> bool:
        if self.fields is not None and not _are_all(self.fields):
            return name in self.fields
        meta = self.model._meta
        for field in (*meta.concrete_fields, *meta.many_to_many):
            names = {field.name, field.attname}  # of a foreign key: owner, owner_id
            if name in names:
                hidden = self.exclude if self.fields is None else None
                return not field.primary_key and names.isdisjoint(hidden or ())
        return False


class WebsocketBindingWithMembers(WebsocketBinding):
    """
    A binding that also sends attributes, properties and results of methods.

    Attributes:
        send_members: Their names. One of another object is written with dots, ``"owner.name"``, and sent with two
            underscores for each, ``"owner__name"``. A method is called without arguments.
        encoder: What makes JSON of them.
    """

    model: ClassVar[Any] = None
    send_members: ClassVar[Iterable[str]] = []
    encoder: ClassVar[json.JSONEncoder] = DjangoJSONEncoder()

    def serialize_data(self, instance: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the fields and members that clients see, as values for JSON."""
        data = super().serialize_data(instance, **kwargs)
        members = {}
        for path in self.send_members:
            member = instance
            for name in path.split("."):
                member = getattr(member, name)
            members[path.replace(".", "__")] = member() if callable(member) else member
        data.update(json.loads(self.encoder.encode(members)))
        return data


def _are_all(fields: Collection[str]) -> bool:
    return fields == ALL_FIELDS or list(fields) == [ALL_FIELDS]


def _set_relations(instance: Any, m2m_data: dict[str, Any]) -> None:
    for name, others in m2m_data.items():
        getattr(instance, name).set(others)
