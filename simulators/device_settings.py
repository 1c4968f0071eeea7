"""One simulated device as it left the shop: identity, clock error, advertising and patience.

Input: what a scenario or a command names. Output: `DeviceSettings`, which never change.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """One device as it left the shop. Durations in seconds; they are radio time, never simulated time.

    `window_seconds`: how long it advertises after a measurement. Too short and a busy gateway misses it, too long and
    the battery pays. `idle_seconds`: how long a device with nothing left to say waits before it hangs up.
    `patience_seconds`: the same while it still waits for the gateway's next step.
    """

    device_id: str
    address: str
    name: str
    manufacturer: str = "Simulated Devices"
    model: str = "SIM"
    serial: str = "0"
    firmware: str = "1.0"
    zone: str = "UTC"
    clock_offset_seconds: float = 0.0
    drift_ppm: float = 0.0
    advertising_interval_ms: float = 100.0
    window_seconds: float = 60.0
    idle_seconds: float = 2.0
    patience_seconds: float = 30.0
    passkey: int | None = None
    pairs_any_time: bool = True
    seed: int = 0
