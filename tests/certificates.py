"""Certificates as authorities issue them, whole and with one fault each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM


def issue(folder: Path, *, days: int = 90, purpose: Any = ExtendedKeyUsageOID.EMAIL_PROTECTION,
          self_signed: bool = False, key: Any = None) -> tuple[Path, Path]:  # fmt: skip
    """Writes chain.pem and key.pem. days: until it expires, negative for one that has."""
    top_key, key = ec.generate_private_key(ec.SECP256R1()), key or ec.generate_private_key(ec.SECP256R1())
    top, leaf = name("Example Authority"), name("Ann Example")
    authority = build(top, top, top_key.public_key(), 3650, True).sign(top_key, hashes.SHA256())
    builder = build(leaf if self_signed else top, leaf, key.public_key(), days, False)
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(top_key.public_key()), False)
    certificate = builder.sign(key if self_signed else top_key, hashes.SHA256())
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(PEM) + authority.public_bytes(PEM))
    secret.write_bytes(
        key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, secret


def name(common: str) -> x509.Name:
    parts = {NameOID.COMMON_NAME: common, NameOID.ORGANIZATION_NAME: "Example Press"}
    return x509.Name([x509.NameAttribute(key, value) for key, value in parts.items()])


def build(issuer: x509.Name, subject: x509.Name, key: Any, days: int, top: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    usage = x509.KeyUsage(not top, False, False, False, False, top, top, False, False)
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=400)).not_valid_after(now + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(top, None), True).add_extension(usage, True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
