"""The virtual air: controllers that hear each other, as radios in one room do.

Input: HCI packets of hosts. Output: HCI events, as a real controller gives them. bumble's own controller and link are
mended where a radio differs: cancelled connections, lost links, advertisements only to listeners.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Final

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

# Vendor-specific commands (OGF 0x3F) that only our controllers know; a host sends them to shape its own radio.
DROP_LINKS_COMMAND: Final = 0xFC51
SET_RADIO_COMMAND: Final = 0xFC52
_COMMAND_PACKET: Final = 0x01


def vendor_command(op_code: int, parameters: bytes = b"") -> bytes:
    return struct.pack("<BHB", _COMMAND_PACKET, op_code, len(parameters)) + parameters


class VirtualController(Controller):
    """A bumble controller with what a radio does and bumble's does not.

    It can be cancelled while it connects, can fall off the air (the peer sees a supervision timeout), is told its own
    signal strength, and reports each advertisement once.
    """

    # The longest LE data packet: ATT packets are not cut into 27-octet pieces.
    le_acl_data_packet_length = 251
    supported_max_tx_octets = 251
    supported_max_rx_octets = 251
    suggested_max_tx_octets = 251

    def __init__(self, name: str, *, air: Air, host_source: Any = None, host_sink: Any = None) -> None:
        self.air = air
        self.answers_connections = True
        self.rssi = -55
        self.delay_seconds = 0.0
        super().__init__(name, host_source=host_source, host_sink=host_sink, link=air)

    # HCI, host side -------------------------------------------------------------------------------------------------

    def on_packet(self, packet: bytes) -> None:
        if packet[0] == _COMMAND_PACKET:
            op_code = int.from_bytes(packet[1:3], "little")
            if op_code == DROP_LINKS_COMMAND:
                self.drop_off()
                return
            if op_code == SET_RADIO_COMMAND:
                self.answers_connections = bool(packet[4])
                self.rssi = int.from_bytes(packet[5:6], "little", signed=True)
                self.delay_seconds = int.from_bytes(packet[6:8], "little") / 1000
                return
        super().on_packet(packet)

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if isinstance(packet, hci.HCI_Command):
            self.on_hci_command_packet(packet)
        elif isinstance(packet, hci.HCI_AclDataPacket):
            if self.find_le_connection_by_handle(packet.connection_handle):  # else it came too late for its link
                self.on_hci_acl_data_packet(packet)
        else:
            super().on_hci_packet(packet)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        # As in bumble, but without rendering every packet for a log line that nobody reads.
        if self.host:
            asyncio.get_running_loop().call_soon(self.host.on_packet, bytes(packet))

    def send_advertising_pdu(self, packet: ll.AdvertisingPdu) -> None:
        self.air.send_advertising_pdu(self, packet)

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        # A reset ends links without a word to the peer, and stops scanning and advertising (Vol 4, Part E, 7.3.2).
        self.go_silent()
        return super().on_hci_reset_command(command)

    def on_hci_le_create_connection_command(self, command: hci.HCI_LE_Create_Connection_Command) -> None:
        super().on_hci_le_create_connection_command(command)
        self._connect_at_once()

    def on_hci_le_extended_create_connection_command(
        self, command: hci.HCI_LE_Extended_Create_Connection_Command
    ) -> None:
        super().on_hci_le_extended_create_connection_command(command)
        self._connect_at_once()

    def _connect_at_once(self) -> None:
        pending = self.pending_le_connection
        if self.air.fast_connect and pending and self.air.is_advertising(pending.peer_address):
            asyncio.get_running_loop().call_soon(self._connect_if_pending, pending.peer_address)

    def _connect_if_pending(self, address: hci.Address) -> None:
        pending = self.pending_le_connection
        if pending and pending.peer_address == address and self.air.is_advertising(address):
            self.create_le_connection(address)

    def on_hci_le_create_connection_cancel_command(
        self, command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        # Vol 4, Part E, 7.8.13: the host is owed a Connection Complete with Unknown Connection Identifier.
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        result = super().on_hci_le_create_connection_cancel_command(command)
        asyncio.get_running_loop().call_soon(self._report_cancelled, pending.peer_address)
        return result

    def _report_cancelled(self, address: hci.Address) -> None:
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=address.address_type,
                peer_address=address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )

    # The air's side ---------------------------------------------------------------------------------------------------

    def create_le_connection(self, peer_address: hci.Address) -> None:
        if peer_address in self.le_connections:
            # The old link has not yet timed out here; the initiator goes on listening.
            return
        advertiser = self.air.find_le_controller(peer_address)
        if isinstance(advertiser, VirtualController) and not advertiser.answers_connections:
            return
        super().create_le_connection(peer_address)

    def hears_advertising_of(self, address: hci.Address) -> bool:
        pending = self.pending_le_connection
        return self.le_scan_enable or (pending is not None and pending.peer_address == address)

    def on_advertisement(self, pdu: ll.AdvInd | ll.AdvExtInd, *, rssi: int) -> None:
        """One advertisement reached this radio: report it once, then connect if the host waits for it."""
        if self.le_scan_enable:
            report = hci.HCI_LE_Extended_Advertising_Report_Event.Report(
                event_type=hci.HCI_LE_Extended_Advertising_Report_Event.EventType.CONNECTABLE_ADVERTISING,
                address_type=pdu.advertiser_address.address_type,
                address=pdu.advertiser_address,
                primary_phy=hci.Phy.LE_1M,
                secondary_phy=hci.Phy.LE_1M,
                advertising_sid=0,
                tx_power=127,  # not available
                rssi=rssi,
                periodic_advertising_interval=0,
                direct_address_type=0,
                direct_address=hci.Address.ANY,
                data=pdu.data,
            )
            self.send_hci_packet(hci.HCI_LE_Extended_Advertising_Report_Event([report]))
        self._connect_if_pending(pdu.advertiser_address)

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        if self.le_connections.get(connection.peer_address) is connection:
            super().on_le_disconnected(connection, reason)

    def on_ll_control_pdu(self, sender_address: hci.Address, packet: ll.ControlPdu) -> None:
        if sender_address in self.le_connections:  # else the link is gone and its last packets with it
            super().on_ll_control_pdu(sender_address, packet)

    def on_link_acl_data(self, sender_address: hci.Address, transport: PhysicalTransport, data: bytes) -> None:
        if sender_address in self.le_connections:
            super().on_link_acl_data(sender_address, transport, data)

    def drop_off(self) -> None:
        """Lose every link as when the device leaves the room: both hosts see a supervision timeout."""
        reason = hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
        for connection in list(self.le_connections.values()):
            connection.send_ll_control_pdu(ll.TerminateInd(reason))
            self.on_le_disconnected(connection, reason)

    def go_silent(self) -> None:
        """Stop all radio activity at once; this host is told nothing, the peers see a supervision timeout."""
        for connection in list(self.le_connections.values()):
            connection.send_ll_control_pdu(ll.TerminateInd(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR))
        self.le_connections.clear()
        self.pending_le_connection = None
        self.le_scan_enable = False
        self.le_legacy_advertiser.stop()
        for advertising_set in self.advertising_sets.values():
            advertising_set.stop()
        self.advertising_sets.clear()

    def leave(self) -> None:
        """Take part no more: the host is gone for good."""
        self.go_silent()
        self.host = None
        self.air.remove_controller(self)


class Air(LocalLink):
    """All controllers within radio range of each other. Advertisements reach only who listens."""

    def __init__(self, *, fast_connect: bool = True) -> None:
        """`fast_connect`: connect to a device on the air at once instead of at its next advertisement."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.fast_connect = fast_connect
        self._by_address: dict[hci.Address, VirtualController] = {}
        self._last_arrival = 0.0

    def on_address_changed(self, controller: Controller) -> None:
        if isinstance(controller, VirtualController):
            self._forget(controller)
            self._by_address[controller.random_address] = controller

    def remove_controller(self, controller: Controller) -> None:
        self.controllers.discard(controller)
        if isinstance(controller, VirtualController):
            self._forget(controller)

    def _forget(self, controller: VirtualController) -> None:
        for address in [known for known, owner in self._by_address.items() if owner is controller]:
            del self._by_address[address]

    def find_le_controller(self, address: hci.Address) -> Controller | None:
        return self._by_address.get(address) or super().find_le_controller(address)

    def is_advertising(self, address: hci.Address) -> bool:
        controller = self.find_le_controller(address)
        return isinstance(controller, VirtualController) and controller.is_advertising

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(packet, ll.ConnectInd):
            if target := self.find_le_controller(packet.advertiser_address):
                loop.call_soon(target.on_ll_advertising_pdu, packet)
            return
        if not isinstance(packet, (ll.AdvInd, ll.AdvExtInd)):
            return
        rssi = sender_controller.rssi if isinstance(sender_controller, VirtualController) else -50
        for controller in list(self.controllers):
            if (
                controller is not sender_controller
                and isinstance(controller, VirtualController)
                and controller.hears_advertising_of(packet.advertiser_address)
            ):
                controller.on_advertisement(packet, rssi=rssi)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        if receiver := self.find_le_controller(receiver_address):
            sender = self.find_le_controller(sender_address)
            self._carry(sender, receiver, receiver.on_ll_control_pdu, sender_address, packet)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        if receiver := self.find_le_controller(destination_address):
            source = sender_controller.random_address
            self._carry(sender_controller, receiver, receiver.on_link_acl_data, source, transport, data)

    def _carry(self, sender: Controller | None, receiver: Controller, arrive: Callable[..., None], *what: Any) -> None:
        """Let a packet arrive: at once, or after the delay of the slower radio, never overtaking another one."""
        loop = asyncio.get_running_loop()
        delay = max(getattr(sender, "delay_seconds", 0.0), getattr(receiver, "delay_seconds", 0.0))
        if not delay:
            loop.call_soon(arrive, *what)
            return
        self._last_arrival = max(self._last_arrival + 1e-6, loop.time() + delay)
        loop.call_at(self._last_arrival, arrive, *what)
