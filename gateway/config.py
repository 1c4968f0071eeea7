"""Settings of the home box, read once at start from the environment.

Input: variables `VITALWIRE_…`. Output: frozen `Settings`, or a `SettingsError` an installer can act on.
Secrets come as files; a password never stands on a command line or in a log.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.contract import GATEWAY_ID
from gateway.errors import SettingsError

PREFIX: Final = "VITALWIRE_"
_MEBIBYTE: Final = 1024 * 1024


class Settings(BaseSettings):
    """Everything the gateway is told from outside. Frozen: a change needs a restart."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    gateway_id: str
    gateway_data: Path = Path("/var/lib/vitalwire")
    time_zone: str = "UTC"

    mqtt_url: str
    mqtt_username: str | None = None
    mqtt_password_file: Path | None = None
    mqtt_ca_file: Path | None = None
    mqtt_cert_file: Path | None = None
    mqtt_key_file: Path | None = None
    mqtt_version: Literal["5", "3.1.1"] = "5"
    mqtt_insecure: bool = False
    mqtt_keepalive_seconds: Annotated[int, Field(ge=5, le=600)] = 30

    bluetooth_adapter: str | None = None
    clock_setting: Literal["never", "if-off", "always"] | None = None

    journal_max_mebibytes: Annotated[int, Field(ge=4, le=65536)] = 512
    journal_keep_days: Annotated[int, Field(ge=0, le=3650)] = 30
    radio_silence_seconds: Annotated[float, Field(ge=10)] = 180.0

    @field_validator("gateway_id")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if not GATEWAY_ID.fullmatch(value):
            raise ValueError(
                f"{value!r} is not a gateway id; expected 'gw-' and 10 to 32 digits or small letters, as printed on "
                "the enrolment sheet, for example gw-0123456789"
            )
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is not a time zone; use the zone of the home, for example America/New_York")
        return value

    @field_validator("mqtt_password_file", "mqtt_ca_file", "mqtt_cert_file", "mqtt_key_file")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}; check the path and that this user may read it")
        return value

    @field_validator("mqtt_url")
    @classmethod
    def _broker(cls, value: str) -> str:
        parts = urlsplit(value)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or port == 0:
            raise ValueError(f"{_without_password(value)!r} is not a broker address; write mqtts://host:8883")
        if parts.username or parts.password:
            raise ValueError(
                "the address must not hold a password; use VITALWIRE_MQTT_USERNAME and VITALWIRE_MQTT_PASSWORD_FILE"
            )
        return value

    @model_validator(mode="after")
    def _safe_transport(self) -> Settings:
        problems: list[str] = []
        if not self.tls and not self.mqtt_insecure and not is_loopback(self.mqtt_host):
            problems.append(
                f"VITALWIRE_MQTT_URL: plain mqtt:// to {self.mqtt_host} would send health data unencrypted; "
                "write mqtts://, or set VITALWIRE_MQTT_INSECURE=true on a closed test network"
            )
        if self.mqtt_version == "3.1.1" and not is_loopback(self.mqtt_host):
            problems.append(
                "VITALWIRE_MQTT_VERSION: 3.1.1 is for a demo broker on this machine only; remove the variable"
            )
        if (self.mqtt_cert_file is None) != (self.mqtt_key_file is None):
            problems.append("VITALWIRE_MQTT_CERT_FILE and VITALWIRE_MQTT_KEY_FILE belong together; set both or neither")
        if self.mqtt_password_file is not None and self.mqtt_username is None:
            problems.append("VITALWIRE_MQTT_PASSWORD_FILE needs VITALWIRE_MQTT_USERNAME beside it")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def tls(self) -> bool:
        return urlsplit(self.mqtt_url).scheme == "mqtts"

    @property
    def mqtt_host(self) -> str:
        return urlsplit(self.mqtt_url).hostname or ""

    @property
    def mqtt_port(self) -> int:
        return urlsplit(self.mqtt_url).port or (8883 if self.tls else 1883)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def journal_path(self) -> Path:
        return self.gateway_data / "journal.sqlite"

    @property
    def registry_path(self) -> Path:
        return self.gateway_data / "registry.json"

    @property
    def status_path(self) -> Path:
        return self.gateway_data / "status.json"

    @property
    def journal_max_bytes(self) -> int:
        return self.journal_max_mebibytes * _MEBIBYTE

    def mqtt_password(self) -> str | None:
        """The password, read when it is needed and not kept in the settings."""
        if self.mqtt_password_file is None:
            return None
        return self.mqtt_password_file.read_text(encoding="utf-8").strip("\r\n")


def is_loopback(host: str) -> bool:
    """Whether traffic to the host stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(environment: Mapping[str, Any] | None = None) -> Settings:
    """Settings from the environment (or from the given mapping of field names). Raises `SettingsError`."""
    try:
        return Settings(**(environment or {}))
    except ValidationError as error:
        raise SettingsError(tuple(_problems(error))) from None


def _problems(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for item in error.errors(include_url=False, include_input=False):
        field = str(item["loc"][0]) if item["loc"] else ""
        message = item["msg"].removeprefix("Value error, ")
        if not field:
            lines.extend(message.splitlines())
        elif item["type"] == "missing":
            lines.append(f"{PREFIX}{field.upper()} is not set; {_HOW_TO_SET.get(field, 'set it and start again')}")
        else:
            lines.append(f"{PREFIX}{field.upper()}: {message}")
    return lines


_HOW_TO_SET: Final = {
    "gateway_id": "it stands on the enrolment sheet, for example gw-0123456789",
    "mqtt_url": "it is the address of the practice's broker, for example mqtts://broker.example.org:8883",
}


def _without_password(url: str) -> str:
    return url.rsplit("@", 1)[-1]
