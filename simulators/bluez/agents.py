"""`org.bluez.AgentManager1`: the programs that answer for the person at a pairing, and how they are asked.

Input: registrations of clients. Output: a pairing delegate that calls RequestPasskey, RequestConfirmation,
RequestAuthorization and DisplayPasskey of the registered agent; without an agent only Just Works is possible.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

from bumble.pairing import PairingDelegate
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from simulators.bluez.objects import DBusFailureError, Interface, Method

logger = logging.getLogger(__name__)

_AGENT: Final = "org.bluez.Agent1"
_CAPABILITIES: Final = {
    "": PairingDelegate.IoCapability.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT,
    "KeyboardDisplay": PairingDelegate.IoCapability.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT,
    "DisplayOnly": PairingDelegate.IoCapability.DISPLAY_OUTPUT_ONLY,
    "DisplayYesNo": PairingDelegate.IoCapability.DISPLAY_OUTPUT_AND_YES_NO_INPUT,
    "KeyboardOnly": PairingDelegate.IoCapability.KEYBOARD_INPUT_ONLY,
    "NoInputNoOutput": PairingDelegate.IoCapability.NO_OUTPUT_NO_INPUT,
}


@dataclass(frozen=True, slots=True)
class Agent:
    """A registered agent."""

    owner: str
    path: str
    capability: PairingDelegate.IoCapability


class AgentManager:
    """Knows the agents and who is asked: the pairing client's own one, else the default agent."""

    def __init__(self, bus: MessageBus, *, authorise_just_works: bool = False) -> None:
        """`authorise_just_works`: ask the agent also where neither side can show or type anything."""
        self._bus = bus
        self._agents: dict[str, Agent] = {}
        self._defaults: list[str] = []
        self.authorise_just_works = authorise_just_works

    def interface(self) -> Interface:
        return Interface(
            methods={
                "RegisterAgent": Method(self._register, "os"),
                "UnregisterAgent": Method(self._unregister, "o"),
                "RequestDefaultAgent": Method(self._make_default, "o"),
            }
        )

    async def _register(self, sender: str, path: str, capability: str) -> None:
        if sender in self._agents:
            raise DBusFailureError("org.bluez.Error.AlreadyExists", "Already Exists")
        if capability not in _CAPABILITIES:
            raise DBusFailureError("org.bluez.Error.InvalidArguments", "Invalid arguments in method call")
        self._agents[sender] = Agent(sender, path, _CAPABILITIES[capability])

    async def _unregister(self, sender: str, path: str) -> None:
        self._own(sender, path)
        self.client_gone(sender)

    async def _make_default(self, sender: str, path: str) -> None:
        self._own(sender, path)
        if sender in self._defaults:
            self._defaults.remove(sender)
        self._defaults.insert(0, sender)

    def _own(self, sender: str, path: str) -> None:
        agent = self._agents.get(sender)
        if agent is None or agent.path != path:
            raise DBusFailureError("org.bluez.Error.DoesNotExist", "Does Not Exist")

    def client_gone(self, name: str) -> None:
        self._agents.pop(name, None)
        if name in self._defaults:
            self._defaults.remove(name)

    def delegate(self, device_path: str, caller: str | None) -> PairingDelegate:
        """Who answers for this pairing. `caller` is the client that asked for it, if one did."""
        agent = self._agents.get(caller or "")
        if agent is None and self._defaults:
            agent = self._agents[self._defaults[0]]
        return PairingDelegate() if agent is None else _AgentDelegate(self, agent, device_path)

    async def ask(self, agent: Agent, member: str, signature: str, body: list[Any]) -> list[Any] | None:
        """Call the agent; None if it refuses or is gone."""
        reply = await self._bus.call(
            Message(
                destination=agent.owner,
                path=agent.path,
                interface=_AGENT,
                member=member,
                signature=signature,
                body=body,
            )
        )
        if reply.message_type is MessageType.ERROR:
            logger.info("agent refused %s: %s", member, reply.error_name)
            return None
        return list(reply.body)


class _AgentDelegate(PairingDelegate):
    def __init__(self, manager: AgentManager, agent: Agent, device_path: str) -> None:
        super().__init__(agent.capability)
        self._manager = manager
        self._agent = agent
        self._path = device_path

    async def confirm(self, auto: bool = False) -> bool:
        del auto
        if not self._manager.authorise_just_works:
            return True
        return await self._manager.ask(self._agent, "RequestAuthorization", "o", [self._path]) is not None

    async def compare_numbers(self, number: int, digits: int) -> bool:
        del digits
        return await self._manager.ask(self._agent, "RequestConfirmation", "ou", [self._path, number]) is not None

    async def get_number(self) -> int | None:
        answer = await self._manager.ask(self._agent, "RequestPasskey", "o", [self._path])
        return answer[0] if answer and isinstance(answer[0], int) else None

    async def display_number(self, number: int, digits: int) -> None:
        del digits
        await self._manager.ask(self._agent, "DisplayPasskey", "ouq", [self._path, number, 0])
