"""A tree of D-Bus objects: properties, methods, ObjectManager signals and introspection.

Input: method calls of any client, with the caller's bus name (which BlueZ's semantics need). Output: replies, signals.
Written on raw messages: dbus-fast's service classes hide who calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.signature import SignatureTree

logger = logging.getLogger(__name__)

_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
_INTROSPECTABLE: Final = "org.freedesktop.DBus.Introspectable"


class DBusFailureError(Exception):
    """A method's error reply."""

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: called with the caller's bus name and the arguments; returns the value of `out` (or None)."""

    handler: Handler
    in_signature: str = ""
    out_signature: str = ""


@dataclass(slots=True)
class Interface:
    """An interface of one object. `setters` name the properties clients may write."""

    properties: dict[str, Variant] = field(default_factory=dict)
    methods: Mapping[str, Method] = field(default_factory=dict)
    setters: Mapping[str, Callable[[Any], Awaitable[None]]] = field(default_factory=dict)


class ObjectTree:
    """All objects of one bus connection. Calls run as tasks, so a slow one (Connect, Pair) blocks nobody."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._objects: dict[str, dict[str, Interface]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        bus.add_message_handler(self._on_message)

    # The tree ---------------------------------------------------------------------------------------------------------

    def __contains__(self, path: str) -> bool:
        return path in self._objects

    def add(self, path: str, interfaces: dict[str, Interface]) -> None:
        self._objects[path] = interfaces
        described = {name: interface.properties for name, interface in interfaces.items()}
        self._signal("/", _OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, described])

    def remove(self, path: str) -> None:
        interfaces = self._objects.pop(path, None)
        if interfaces is not None:
            self._signal("/", _OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, list(interfaces)])

    def get(self, path: str, interface: str, name: str) -> Any:
        """The plain value of a property, or None."""
        variant = self._objects[path][interface].properties.get(name)
        return None if variant is None else variant.value

    def update(self, path: str, interface: str, changed: dict[str, Variant], removed: tuple[str, ...] = ()) -> None:
        """Change properties and tell everybody."""
        known = self._objects.get(path, {}).get(interface)
        if known is None:
            return
        gone = [name for name in removed if known.properties.pop(name, None) is not None]
        known.properties.update(changed)
        if changed or gone:
            self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, changed, gone])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self._bus.connected:
            self._bus.send(Message.new_signal(path, interface, member, signature, body))

    async def close(self) -> None:
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    # Calls ------------------------------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> bool:
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        if message.interface == "org.freedesktop.DBus.Peer":
            return False
        call = asyncio.get_running_loop().create_task(self._answer(message))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return True

    async def _answer(self, message: Message) -> None:
        try:
            signature, body = await self._call(message)
            reply = Message.new_method_return(message, signature, body)
        except DBusFailureError as failure:
            reply = Message.new_error(message, failure.name, failure.text)
        except Exception:
            logger.exception("%s.%s failed", message.interface, message.member)
            reply = Message.new_error(message, "org.bluez.Error.Failed", "internal error of the simulator")
        if self._bus.connected:
            await self._bus.send(reply)

    async def _call(self, message: Message) -> tuple[str, list[Any]]:
        path, member = message.path or "/", message.member or ""
        match message.interface:
            case name if name == _OBJECT_MANAGER and member == "GetManagedObjects":
                return "a{oa{sa{sv}}}", [self._managed_objects()]
            case name if name == _INTROSPECTABLE and member == "Introspect":
                return "s", [self._introspect(path)]
            case name if name == _PROPERTIES:
                return await self._property_call(path, member, message.body)
        interfaces = self._objects.get(path)
        if interfaces is None:
            raise DBusFailureError("org.freedesktop.DBus.Error.UnknownObject", f"no object {path}")
        method = interfaces.get(message.interface or "", Interface()).methods.get(member)
        if method is None or method.in_signature != message.signature:
            raise DBusFailureError(
                "org.freedesktop.DBus.Error.UnknownMethod",
                f'Method "{member}" with signature "{message.signature}" on interface '
                f'"{message.interface}" doesn\'t exist',
            )
        result = await method.handler(message.sender or "", *message.body)
        return (method.out_signature, [result]) if method.out_signature else ("", [])

    async def _property_call(self, path: str, member: str, body: list[Any]) -> tuple[str, list[Any]]:
        interface = self._objects.get(path, {}).get(body[0])
        if interface is None:
            raise DBusFailureError("org.freedesktop.DBus.Error.UnknownObject", f"no {body[0]} at {path}")
        if member == "GetAll":
            return "a{sv}", [interface.properties]
        name = body[1]
        if name not in interface.properties and name not in interface.setters:
            raise DBusFailureError("org.freedesktop.DBus.Error.InvalidArgs", f"No such property '{name}'")
        if member == "Get":
            return "v", [interface.properties[name]]
        setter = interface.setters.get(name)
        if setter is None:
            raise DBusFailureError("org.freedesktop.DBus.Error.PropertyReadOnly", f"'{name}' cannot be written")
        await setter(body[2].value)
        return "", []

    def _managed_objects(self) -> dict[str, dict[str, dict[str, Variant]]]:
        return {
            path: {name: interface.properties for name, interface in interfaces.items()}
            for path, interfaces in self._objects.items()
        }

    # Introspection ----------------------------------------------------------------------------------------------------

    def _introspect(self, path: str) -> str:
        parts = ["<node>"]
        for name, interface in self._objects.get(path, {}).items():
            parts.append(f"<interface name={quoteattr(name)}>")
            for member, method in interface.methods.items():
                arguments = _arguments("in", method.in_signature) + _arguments("out", method.out_signature)
                parts.append(f"<method name={quoteattr(member)}>{arguments}</method>")
            for member, value in interface.properties.items():
                access = "readwrite" if member in interface.setters else "read"
                parts.append(
                    f'<property name={quoteattr(member)} type={quoteattr(value.signature)} access="{access}"/>'
                )
            parts.append("</interface>")
        parts.append(_STANDARD_INTERFACES)
        prefix = path.rstrip("/") + "/"
        children = {other[len(prefix) :].split("/")[0] for other in self._objects if other.startswith(prefix)}
        parts.extend(f"<node name={quoteattr(child)}/>" for child in sorted(children - {""}))
        parts.append("</node>")
        return "".join(parts)


def _arguments(direction: str, signature: str) -> str:
    return "".join(
        f'<arg type={quoteattr(part.signature)} direction="{direction}"/>' for part in SignatureTree(signature).types
    )


_STANDARD_INTERFACES: Final = (
    f'<interface name="{_PROPERTIES}">'
    '<method name="Get"><arg type="s" direction="in"/><arg type="s" direction="in"/>'
    '<arg type="v" direction="out"/></method>'
    '<method name="GetAll"><arg type="s" direction="in"/><arg type="a{sv}" direction="out"/></method>'
    '<method name="Set"><arg type="s" direction="in"/><arg type="s" direction="in"/>'
    '<arg type="v" direction="in"/></method>'
    '<signal name="PropertiesChanged"><arg type="s"/><arg type="a{sv}"/><arg type="as"/></signal></interface>'
    f'<interface name="{_OBJECT_MANAGER}">'
    '<method name="GetManagedObjects"><arg type="a{oa{sa{sv}}}" direction="out"/></method>'
    '<signal name="InterfacesAdded"><arg type="o"/><arg type="a{sa{sv}}"/></signal>'
    '<signal name="InterfacesRemoved"><arg type="o"/><arg type="as"/></signal></interface>'
)
