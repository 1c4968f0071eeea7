"""Encrypted transport: the right authority is trusted, everything else refused, and there is no plain way round it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config import Settings, load_settings
from server.broker import Listener, MosquittoChild, free_port
from tests.integration.test_gateway_publisher import GATEWAY, reading, running
from tests.support.receiving_server import until


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    file: Path

    def issue(self, folder: Path, common_name: str, *, days: tuple[int, int] = (-2, 30)) -> tuple[Path, Path]:
        """Certificate and key files, valid between the two days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return _write(folder / f"{common_name}.pem", certificate), _write_key(folder / f"{common_name}.key", key)


def authority(folder: Path, name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(name=subject, key=key, file=_write(folder / f"{name}-ca.pem", certificate))


def _write(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@contextmanager
def tls_broker(
    folder: Path, certificate: Path, key: Path, *, client_ca: Path | None = None
) -> Iterator[MosquittoChild]:
    listener = Listener(port=free_port(), certificate=certificate, key=key, client_ca=client_ca)
    broker = MosquittoChild(folder / "tls-broker", listener=listener, persistent=False)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def settings_for(broker: MosquittoChild, folder: Path, **files: Path) -> Settings:
    return load_settings({"gateway_id": GATEWAY, "gateway_data": folder / "gw", "mqtt_url": broker.url, **files})


async def test_broker_of_the_known_authority_is_trusted(tmp_path: Path) -> None:
    ours = authority(tmp_path, "practice")
    with tls_broker(tmp_path, *ours.issue(tmp_path, "broker")) as broker:
        async with running(settings_for(broker, tmp_path, mqtt_ca_file=ours.file)) as box:
            await until(lambda: box.publisher.is_connected)


# paho 2.2 leaves the socket of a refused handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("case", ["unknown authority", "expired"])
async def test_other_certificates_are_refused_and_readings_stay(tmp_path: Path, case: str) -> None:
    ours, others = authority(tmp_path, "practice"), authority(tmp_path, "stranger")
    issuer, days = (others, (-2, 30)) if case == "unknown authority" else (ours, (-2, -1))
    with tls_broker(tmp_path, *issuer.issue(tmp_path, "broker", days=days)) as broker:
        async with running(settings_for(broker, tmp_path, mqtt_ca_file=ours.file)) as box:
            await box.file(reading(1))
            await until(lambda: box.publisher.trouble == "broker-certificate-refused")

            assert not box.publisher.is_connected
            assert (await box.outbox.counts()).depth == 1


async def test_gateway_proves_itself_by_its_certificate(tmp_path: Path) -> None:
    ours = authority(tmp_path, "practice")
    certificate, key = ours.issue(tmp_path, GATEWAY)
    with tls_broker(tmp_path, *ours.issue(tmp_path, "broker"), client_ca=ours.file) as broker:
        settings = settings_for(broker, tmp_path, mqtt_ca_file=ours.file, mqtt_cert_file=certificate, mqtt_key_file=key)
        async with running(settings) as box:
            await until(lambda: box.publisher.is_connected)


async def test_gateway_without_a_certificate_is_not_let_in(tmp_path: Path) -> None:
    ours = authority(tmp_path, "practice")
    with tls_broker(tmp_path, *ours.issue(tmp_path, "broker"), client_ca=ours.file) as broker:
        async with running(settings_for(broker, tmp_path, mqtt_ca_file=ours.file)) as box:
            await until(lambda: box.publisher.trouble not in {None, "broker-not-reached-yet"})

            assert not box.publisher.is_connected
