"""
The base of all bindings between Django models and clients.

*Outbound*: the signals of a model that is saved or deleted send its new state to the groups of the object.
*Inbound*: a message of a client creates, changes or deletes an object, where the binding permits it.

Outbound messages are sent where the object is saved: at once, but in a consumer when it is done. They do not wait for
the transaction of the database. Queries that send no signals, such as ``QuerySet.update``, send no messages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Callable, ClassVar

from django.apps import apps
from django.db.models import signals

from workers.auth import channel_session_user
from workers.channel import Group
from workers.message import Message
from workers.sessions import channel_session

CREATE = "create"
UPDATE = "update"
DELETE = "delete"
ALL_FIELDS = "__all__"

_GROUPS_BEFORE = "_binding_group_names"  # on the object that is saved or deleted, by binding


class BindingMetaclass(type):
    """
    Collects the bindings, and connects them to their models once these are loaded.

    Attributes:
        binding_classes: All bindings, in the order of their definition.
        register_immediately: Whether a new binding is connected at once.
    """

    register_immediately: bool = False
    binding_classes: ClassVar[list[type[Binding]]] = []

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> BindingMetaclass:
        binding: Any = super().__new__(cls, name, bases, body)
        if bases:  # the base of all others has no model
            cls.binding_classes.append(binding)
            if cls.register_immediately:
                binding.register()
        return binding  # type: ignore[no-any-return]  # its type is Any for the sake of ``register``

    @classmethod
    def register_all(cls) -> None:
        """Connect all bindings, from now on at their definition."""
        for binding in cls.binding_classes:
            binding.register()
        cls.register_immediately = True


class Binding(metaclass=BindingMetaclass):
    """
    A binding of one model, for one format of messages.

    Outbound, define ``group_names``, ``serialize`` and ``encode``. Inbound, define ``deserialize``,
    ``has_permission``, ``create`` and ``update``, and route messages to ``consumer``.

    Attributes:
        model: The model, or its name: ``"app_label.ModelName"``. ``model = None`` in the body of a class makes it a
            base for other bindings.
        fields: The names of the fields that clients see; ``["__all__"]`` for all.
        exclude: Instead of ``fields``, the names of the hidden fields.
        stream: The name of the stream of outbound messages.
        channel_session_user: Whether inbound messages get the user of the channel session.
        channel_session: Whether they get the channel session, when they do not get its user.
        signal_kwargs: The arguments of the signal that an outbound message is made for.
    """

    model: ClassVar[Any] = None
    model_label: ClassVar[str]
    fields: ClassVar[Collection[str] | None] = None
    exclude: ClassVar[Collection[str] | None] = None
    stream: ClassVar[str | None] = None
    channel_session_user: ClassVar[bool] = True
    channel_session: ClassVar[bool] = False
    signal_kwargs: dict[str, Any] | None = None

    # Set for outbound messages.
    instance: Any
    # Set for inbound messages.
    message: Message
    kwargs: dict[str, Any]
    action: str
    pk: Any
    data: Any
    user: Any

    @classmethod
    def register(cls) -> None:
        """Connect the binding to the signals of its model."""
        for model in cls.get_registered_models():
            signals.pre_save.connect(cls.pre_save_receiver, sender=model)
            signals.post_save.connect(cls.post_save_receiver, sender=model)
            signals.pre_delete.connect(cls.pre_delete_receiver, sender=model)
            signals.post_delete.connect(cls.post_delete_receiver, sender=model)

    @classmethod
    def get_registered_models(cls) -> list[Any]:
        """
        Return the model of the binding, in a list. A base of bindings has none.

        Raises:
            ValueError: The class has no model, or neither ``fields`` nor ``exclude``, or one of these is a string.
            LookupError: There is no model of the given name.
        """
        if cls.model is None:
            if "model" in vars(cls):
                return []
            raise ValueError(f"{cls.__qualname__} is a binding without a model: set its attribute model")
        if cls.fields is None and cls.exclude is None:
            raise ValueError(
                f"{cls.__qualname__} does not say which fields clients may see: set its attribute fields, or exclude"
            )
        for names in (cls.fields, cls.exclude):
            if isinstance(names, str) and names != ALL_FIELDS:
                raise ValueError(f"{cls.__qualname__}: the fields are a list of names, not the string {names!r}")
        if isinstance(cls.model, str):
            cls.model = apps.get_model(cls.model)
        cls.model_label = cls.model._meta.label_lower
        return [cls.model]

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that carries ``payload`` on a stream."""
        raise NotImplementedError(f"{cls.__qualname__} has no method encode")

    @classmethod
    def pre_save_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Note the groups of an object that is about to be saved."""
        cls.pre_change_receiver(instance, CREATE if instance._state.adding else UPDATE)

    @classmethod
    def post_save_receiver(cls, instance: Any, created: bool, **kwargs: Any) -> None:
        """Send a saved object."""
        cls.post_change_receiver(instance, CREATE if created else UPDATE, **kwargs)

    @classmethod
    def pre_delete_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Note the groups of an object that is about to be deleted."""
        cls.pre_change_receiver(instance, DELETE)

    @classmethod
    def post_delete_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Send a deleted object."""
        cls.post_change_receiver(instance, DELETE, **kwargs)

    @classmethod
    def pre_change_receiver(cls, instance: Any, action: str) -> None:
        """Note the groups of an object before a change."""
        names = set() if action == CREATE else set(cls.group_names(instance))
        vars(instance).setdefault(_GROUPS_BEFORE, {})[cls] = names

    @classmethod
    def post_change_receiver(cls, instance: Any, action: str, **kwargs: Any) -> None:
        """
        Send a changed object to its groups before and after the change.

        For a group that the object left it is deleted, for a group that it joined it is created.
        """
        before = vars(instance)[_GROUPS_BEFORE][cls]
        now = set() if action == DELETE else set(cls.group_names(instance))
        binding = cls()
        binding.instance = instance
        # In this order a client that is in both an old and a new group ends up with the object.
        binding.send_messages(instance, before - now, DELETE, **kwargs)
        binding.send_messages(instance, before & now, UPDATE, **kwargs)
        binding.send_messages(instance, now - before, CREATE, **kwargs)

    def send_messages(self, instance: Any, group_names: Iterable[str], action: str, **kwargs: Any) -> None:
        """
        Send the object to the groups, unless its serialised form is an empty dict.

        Raises ``ValueError`` when the binding has no stream.
        """
        if not group_names:
            return
        self.signal_kwargs = kwargs
        payload = self.serialize(instance, action)
        if payload == {}:
            return
        if self.stream is None:
            raise ValueError(f"{type(self).__qualname__} has nothing to send on: set its attribute stream")
        message = self.encode(self.stream, payload)
        for name in group_names:
            Group(name).send(message)

    @classmethod
    def group_names(cls, instance: Any) -> Iterable[str]:
        """Return the names of the groups that see an object."""
        raise NotImplementedError(f"{cls.__qualname__} has no method group_names")

    def serialize(self, instance: Any, action: str) -> Any:
        """Return the payload of the message about a change to an object."""
        raise NotImplementedError(f"{type(self).__qualname__} has no method serialize")

    @classmethod
    def trigger_inbound(cls, message: Message, **kwargs: Any) -> None:
        """Carry out the action that a message asks for, if it is permitted."""
        from django.contrib.auth.models import AnonymousUser  # models may be imported once Django is set up

        binding = cls()
        binding.message = message
        binding.kwargs = kwargs
        binding.action, binding.pk, binding.data = binding.deserialize(message)
        binding.user = getattr(message, "user", None) or AnonymousUser()
        binding.run_action(binding.action, binding.pk, binding.data)

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        """Return ``trigger_inbound`` in the decorators of the class."""
        handler: Callable[..., Any] = cls.trigger_inbound
        if cls.channel_session_user:
            return channel_session_user(handler)
        if cls.channel_session:
            return channel_session(handler)
        return handler

    @classmethod
    def consumer(cls, message: Message, **kwargs: Any) -> None:
        """Handle a message: the consumer for a routing or a demultiplexer."""
        cls.get_handler()(message, **kwargs)

    def deserialize(self, message: Message) -> tuple[str, Any, Any]:
        """Return the action, the primary key and the data that a message holds."""
        raise NotImplementedError(f"{type(self).__qualname__} has no method deserialize")

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        """
        Return whether a user may carry out an action.

        Args:
            user: A user, or an ``AnonymousUser``.
            action: ``CREATE``, ``UPDATE`` or ``DELETE``.
            pk: The primary key of the object, as the client sent it.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no method has_permission")

    def run_action(self, action: str, pk: Any, data: Any) -> None:
        """Carry out an action if it is permitted. Raises ``ValueError`` for others."""
        if not self.has_permission(self.user, action, pk):
            return
        if action == CREATE:
            self.create(data)
        elif action == UPDATE:
            self.update(pk, data)
        elif action == DELETE:
            self.delete(pk)
        else:
            raise ValueError(f"the action of a binding is {CREATE}, {UPDATE} or {DELETE}, not {action!r}")

    def create(self, data: Any) -> None:
        """Create an object."""
        raise NotImplementedError(f"{type(self).__qualname__} has no method create")

    def update(self, pk: Any, data: Any) -> None:
        """Change an object."""
        raise NotImplementedError(f"{type(self).__qualname__} has no method update")

    def delete(self, pk: Any) -> None:
        """Delete an object; there may be none."""
        self.model.objects.filter(pk=pk).delete()
