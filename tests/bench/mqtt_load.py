"""A load generator for MQTT 3.1.1 that costs little itself: raw sockets, prepared packets, one selector.

Input: a broker and, for each gateway, the payloads to publish at QoS 1. Output: when the last publish was acknowledged,
when the last receipt came, and the delay of each reading from publish to receipt.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_WINDOW = 100  # unacknowledged publishes of one gateway


@dataclass
class Load:
    """What one run measured. Seconds since the first publish; delays in seconds."""

    readings: int = 0
    published_seconds: float = 0.0
    receipted_seconds: float = 0.0
    delays: list[float] = field(default_factory=list)


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("!H", len(raw)) + raw


def _packet(kind: int, body: bytes) -> bytes:
    size, length = bytearray(), len(body)
    while True:
        length, digit = length >> 7, length & 0x7F
        size.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((kind,)) + bytes(size) + body


class _Gateway:
    """One connection: publishes its payloads, counts acknowledgements, reads its receipts."""

    def __init__(self, address: tuple[str, int], gateway_id: str, payloads: Sequence[bytes], *, receipts: bool) -> None:
        self.sock = socket.create_connection(address, timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connect = _text("MQTT") + bytes((4, 2)) + struct.pack("!H", 0) + _text(f"load-{gateway_id}")
        self.sock.sendall(_packet(0x10, connect))
        self._expect(4)
        if receipts:
            self.sock.sendall(_packet(0x82, b"\x00\x01" + _text(f"vw/1/gw/{gateway_id}/down/receipts") + b"\x01"))
            self._expect(5)
        self.sock.setblocking(False)
        topic = _text(f"vw/1/gw/{gateway_id}/up/readings")
        self.packets = [_packet(0x32, topic + b"\x00\x00" + payload) for payload in payloads]
        self.sizes = [len(packet) - len(payload) - 2 for packet, payload in zip(self.packets, payloads, strict=True)]
        self.next = 0
        self.acknowledged = 0
        self.outgoing = bytearray()
        self.incoming = bytearray()
        self.receipts: list[bytes] = []

    def _expect(self, size: int) -> None:
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise ConnectionError("the broker refused the load generator")
            data += more

    def queue(self, most: int) -> int:
        """Put the next packets into the send buffer, as far as the window allows."""
        count = min(most, len(self.packets) - self.next, _WINDOW - (self.next - self.acknowledged))
        for index in range(self.next, self.next + count):
            packet, at = self.packets[index], self.sizes[index]
            self.outgoing += packet[:at]
            self.outgoing += struct.pack("!H", index % 65_535 + 1)
            self.outgoing += packet[at + 2 :]
        self.next += max(count, 0)
        return max(count, 0)

    def flush(self) -> None:
        while self.outgoing:
            try:
                sent = self.sock.send(self.outgoing)
            except BlockingIOError:
                return
            del self.outgoing[:sent]

    def receive(self) -> None:
        try:
            data = self.sock.recv(262_144)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("the broker closed the connection")
        buffer = self.incoming
        buffer += data
        at = 0
        while len(buffer) - at >= 2:
            length, shift, head = 0, 0, at + 1
            while head < len(buffer):
                length |= (buffer[head] & 0x7F) << shift
                shift += 7
                head += 1
                if not buffer[head - 1] & 0x80:
                    break
            if len(buffer) - head < length:
                break
            if buffer[at] == 0x40:
                self.acknowledged += 1
            elif buffer[at] & 0xF0 == 0x30:
                self._receipt(buffer[at], bytes(buffer[head : head + length]))
            at = head + length
        del buffer[:at]

    def _receipt(self, kind: int, body: bytes) -> None:
        topic = struct.unpack_from("!H", body)[0] + 2
        if kind & 0x06:
            self.outgoing += b"\x40\x02" + body[topic : topic + 2]
            topic += 2
        self.receipts.append(body[topic:])


def run(
    address: tuple[str, int],
    payloads: dict[str, list[bytes]],
    *,
    readings_each: int = 1,
    per_second: float | None = None,
    receipts: bool = True,
    timeout: float = 90.0,
) -> Load:
    """Publish everything: as fast as it is acknowledged, or so many messages a second over all gateways in turn."""
    gateways = [_Gateway(address, name, items, receipts=receipts) for name, items in payloads.items()]
    selector = selectors.DefaultSelector()
    for gateway in gateways:
        selector.register(gateway.sock, selectors.EVENT_READ, gateway)
    total = sum(len(gateway.packets) for gateway in gateways)
    load = Load(readings=total * readings_each)
    sent_at: dict[str, float] = {}
    receipted = turn = 0
    start = time.monotonic()
    while time.monotonic() - start < timeout:
        if per_second is None:
            for gateway in gateways:
                gateway.queue(_WINDOW)
        else:
            due = min(total, int((time.monotonic() - start) * per_second) + 1)
            while turn < due:
                gateway = gateways[turn % len(gateways)]
                sent_at[json.loads(payloads_of(gateway))["message_id"]] = time.monotonic()
                gateway.queue(1)
                turn += 1
        for gateway in gateways:
            gateway.flush()
        for key, _ in selector.select(0.001):
            key.data.receive()
        now = time.monotonic()
        for gateway in gateways:
            for body in gateway.receipts:
                stored = json.loads(body)["stored"]
                receipted += len(stored)
                load.delays += [now - sent_at[name] for name in stored if name in sent_at]
            gateway.receipts.clear()
        if not load.published_seconds and all(gateway.acknowledged == len(gateway.packets) for gateway in gateways):
            load.published_seconds = now - start
        if load.published_seconds and (receipted >= load.readings or not receipts):
            load.receipted_seconds = now - start
            break
        if per_second is None:
            time.sleep(0.001)  # lets acknowledgements gather: far fewer system calls
    else:
        raise TimeoutError(f"{receipted} of {load.readings} readings receipted after {timeout:.0f} s")
    for gateway in gateways:
        gateway.sock.close()
    return load


def payloads_of(gateway: _Gateway) -> bytes:
    """The payload a gateway sends next."""
    packet, at = gateway.packets[gateway.next], gateway.sizes[gateway.next]
    return packet[at + 2 :]
