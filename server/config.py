"""Settings of the server's processes, read once at start from the environment.

Input: `DATABASE_URL` and variables `VITALWIRE_…`; secrets come as files (`…_FILE`), never as arguments.
Output: frozen `ServerSettings` that print without secrets, or a `SettingsError` whose lines say what to change.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX: Final = "VITALWIRE_"


class SettingsError(ValueError):
    """One or more settings are wrong; `problems` holds one line for each, naming the variable."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ServerSettings(BaseSettings):
    """Everything the server is told from outside. Frozen: a change needs a restart."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    database_url_file: Path | None = Field(default=None, validation_alias="DATABASE_URL_FILE")
    data: Path = Path("~/.local/share/vitalwire")

    mqtt_url: str = "mqtt://127.0.0.1:1883"
    mqtt_username: str | None = None
    mqtt_password_file: Path | None = None
    mqtt_ca_file: Path | None = None
    mqtt_cert_file: Path | None = None
    mqtt_key_file: Path | None = None
    mqtt_version: Literal["5", "3.1.1"] = "5"
    mqtt_insecure: bool = False
    mqtt_keepalive_seconds: Annotated[int, Field(ge=5, le=600)] = 30
    # Below an hour a long restart of the server would make the broker forget the session and what it queued in it.
    mqtt_session_expiry_seconds: Annotated[int, Field(ge=3600, le=2_592_000)] = 604_800

    ingest_client_id: str = "vw-ingest"
    ingest_shared: bool = False
    # Larger batches raise throughput a little and the loss-free re-delivery after a crash a lot.
    ingest_batch_messages: Annotated[int, Field(ge=1, le=5000)] = 500
    # Too short costs a commit for every few readings, too long delays every receipt by as much.
    ingest_batch_seconds: Annotated[float, Field(ge=0, le=1)] = 0.005
    # Connections that store at once. A gateway always uses the same one, so that its readings stay in order.
    ingest_writers: Annotated[int, Field(ge=1, le=16)] = 2
    ingest_queue_messages: Annotated[int, Field(ge=10, le=60_000)] = 2_000
    ingest_reject_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None

    broker_folder: Path | None = None

    web_host: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    web_public_url: str | None = None
    web_tls_cert_file: Path | None = None
    web_tls_key_file: Path | None = None
    # Written by the demo once its simulated devices run, so it may not exist yet.
    sim_control: Path | None = None

    @field_validator(
        "database_url_file",
        "mqtt_password_file",
        "mqtt_ca_file",
        "mqtt_cert_file",
        "mqtt_key_file",
        "web_tls_cert_file",
        "web_tls_key_file",
    )
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}; check the path and that this user may read it")
        return value

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("mqtt_url")
    @classmethod
    def _broker(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or _port_of(parts) == 0:
            raise ValueError("this is not a broker address; write mqtts://host:8883")
        if parts.username or parts.password:
            raise ValueError(
                "the address must not hold a password; use VITALWIRE_MQTT_USERNAME and VITALWIRE_MQTT_PASSWORD_FILE"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> ServerSettings:
        problems: list[str] = []
        if self.database_url is not None and self.database_url_file is not None:
            problems.append("DATABASE_URL and DATABASE_URL_FILE are both set; remove one")
        if not self.mqtt_tls and not self.mqtt_insecure and not is_loopback(self.mqtt_host):
            problems.append(
                f"VITALWIRE_MQTT_URL: plain mqtt:// to {self.mqtt_host} would send health data unencrypted; "
                "write mqtts://, or set VITALWIRE_MQTT_INSECURE=true on a closed test network"
            )
        if self.mqtt_password_file is not None and self.mqtt_username is None:
            problems.append("VITALWIRE_MQTT_PASSWORD_FILE needs VITALWIRE_MQTT_USERNAME beside it")
        if (self.mqtt_cert_file is None) != (self.mqtt_key_file is None):
            problems.append("VITALWIRE_MQTT_CERT_FILE and VITALWIRE_MQTT_KEY_FILE belong together; set both or neither")
        if (self.web_tls_cert_file is None) != (self.web_tls_key_file is None):
            problems.append(
                "VITALWIRE_WEB_TLS_CERT_FILE and VITALWIRE_WEB_TLS_KEY_FILE belong together; set both or neither"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def mqtt_tls(self) -> bool:
        return urlsplit(self.mqtt_url).scheme == "mqtts"

    @property
    def mqtt_host(self) -> str:
        return urlsplit(self.mqtt_url).hostname or ""

    @property
    def mqtt_port(self) -> int:
        return _port_of(urlsplit(self.mqtt_url)) or (8883 if self.mqtt_tls else 1883)

    @property
    def broker_files(self) -> Path:
        """Folder of mosquitto.conf, its password and access files, when this installation manages the broker."""
        return self.broker_folder or self.data / "broker"

    def mqtt_password(self) -> str | None:
        """The password, read when it is needed and not kept in the settings."""
        return _secret_of(self.mqtt_password_file)

    def resolve_database_url(self) -> str:
        """`DATABASE_URL` (or its file), else the embedded PostgreSQL of the data folder, started if need be."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        given = _secret_of(self.database_url_file)
        if given is not None:
            return given
        from server.db.embedded import start_embedded

        return start_embedded(self.data / "postgres")


def load_settings(values: Mapping[str, Any] | None = None) -> ServerSettings:
    """Settings from the environment (field names given here win). Raises `SettingsError` with every problem."""
    try:
        return ServerSettings(**(values or {}))
    except ValidationError as error:
        raise SettingsError(tuple(_problems(error))) from None


def is_loopback(host: str) -> bool:
    """Whether traffic to the host stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port_of(parts: SplitResult) -> int | None:
    """The port, None when none is written, 0 when it is not a port."""
    try:
        return parts.port
    except ValueError:
        return 0


def _secret_of(path: Path | None) -> str | None:
    return None if path is None else path.read_text(encoding="utf-8").strip("\r\n")


def _problems(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for item in error.errors(include_url=False, include_input=False):
        field = str(item["loc"][0]) if item["loc"] else ""
        message = item["msg"].removeprefix("Value error, ")
        if not field:
            lines.extend(message.splitlines())
        else:
            name = field if field.startswith("DATABASE_URL") else f"{PREFIX}{field.upper()}"
            lines.append(f"{name}: {message}")
    return lines
