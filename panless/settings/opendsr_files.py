"""Key and certificate that OpenDSR's answers are signed with: read and checked at start, made for trying out."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from keys.providers import keyfile
from panless.errors import SettingsError
from panless.settings.environment import Settings
from vault.protocols.opendsr import Processor

LONGEST_KEY = 16 * 1024
LEAST_BITS = 2048
BITS = 3072
DAYS = 397


def load(settings: Settings) -> Processor | None:
    """Who we are to controllers, None if that is not configured. Raises SettingsError, KeyfileRefused, OSError."""
    domain, key_file, certificate_file = (
        settings.opendsr_domain,
        settings.opendsr_key_file,
        settings.opendsr_certificate_file,
    )
    if domain is None or key_file is None or certificate_file is None:
        return None
    return read(domain, key_file, certificate_file)


def read(domain: str, key_file: Path, certificate_file: Path) -> Processor:
    """Who we are to controllers, from this domain and these files. Raises SettingsError, KeyfileRefused, OSError."""
    key, pem = _key(key_file), certificate_file.read_bytes()
    certificate = _certificate(pem)
    if _public(certificate.public_key()) != _public(key.public_key()):
        raise SettingsError("PANLESS_OPENDSR_CERTIFICATE_FILE is not the certificate of PANLESS_OPENDSR_KEY_FILE.")
    if domain not in _common_names(certificate) or domain not in _alternative_names(certificate):
        raise SettingsError(f"The certificate for OpenDSR must name {domain} as CN and as SAN.")
    return Processor(domain=domain, certificate=pem, key=key)


def create(domain: str, key_file: Path, certificate_file: Path, at: datetime) -> None:
    """Write a new key (mode 0600) and a certificate that it signs itself. Raises FileExistsError."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at)
        .not_valid_after(at + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .sign(key, SHA256())
    )
    _write(key_file, 0o600, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(certificate_file, 0o644, certificate.public_bytes(Encoding.PEM))


def days_left(processor: Processor, at: datetime) -> int:
    """For how many days more the certificate is good; negative once it is not."""
    return (_certificate(processor.certificate).not_valid_after_utc - at.astimezone(UTC)).days


def _key(file: Path) -> rsa.RSAPrivateKey:
    text = keyfile.read_private(file, LONGEST_KEY)
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):  # TypeError: it has a password
        key = None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < LEAST_BITS:
        raise SettingsError(f"PANLESS_OPENDSR_KEY_FILE must hold an RSA key of {LEAST_BITS} bits or more, in PEM.")
    return key


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise SettingsError("PANLESS_OPENDSR_CERTIFICATE_FILE must hold a certificate in PEM, ours first.") from None


def _public(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]  # every kind of key has it
    return encoded


def _common_names(certificate: x509.Certificate) -> list[str | bytes]:
    return [each.value for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _write(file: Path, mode: int, content: bytes) -> None:
    """A new file: what is there is somebody's."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as new:
        new.write(content)
