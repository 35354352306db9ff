"""The local test certificate: made on first use, kept for this user, and worth nothing as evidence of who signed."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

ORGANIZATION = "UIP2P local test certificate, proves nothing about who"
FILE = "local-test-certificate.pem"
YEARS = 10


def home() -> Path | None:
    """The folder of the certificate: uip2p in $XDG_DATA_HOME, else in ~/.local/share. None: this user has no home, as
    in some containers."""
    given = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "uip2p"
    try:
        return Path.home() / ".local" / "share" / "uip2p"
    except RuntimeError:
        return None


def local_certificate() -> tuple[bytes, bytes]:
    """(chain, key), both PEM: this user's, made if there is none that holds. Where nothing can be kept, it lives as
    long as the process."""
    folder = home()
    return _local_certificate(folder and folder / FILE)


@functools.cache
def _local_certificate(path: Path | None) -> tuple[bytes, bytes]:
    if path is None:
        warnings.warn("this user has no home, so this run has a local test certificate of its own.", stacklevel=2)
        return make()
    with contextlib.suppress(OSError, ValueError):
        return split(path.read_bytes())
    made = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return split(keep(path, b"".join(made)))
    except OSError as error:
        warnings.warn(
            f"the local test certificate cannot be kept in {path.parent} ({error.strerror}): this run has its own.",
            stacklevel=2,
        )
        return made


def keep(path: Path, content: bytes) -> bytes:
    """Writes it for this user's eyes, whole; what another process put there first is returned in its stead."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)  # fails where there is one, as a rename would not
        except FileExistsError:
            with contextlib.suppress(ValueError):
                there = path.read_bytes()
                split(there)
                return there
            os.replace(beside, path)  # what is there has expired or is damaged
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)
    return content


def split(content: bytes) -> tuple[bytes, bytes]:
    """One PEM file -> (chain, key). ValueError: not both, or the certificate is about to expire."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    chain, begin, key = content.partition(b"-----BEGIN PRIVATE KEY-----")
    key = begin + key
    serialization.load_pem_private_key(key, password=None)
    if x509.load_pem_x509_certificates(chain)[0].not_valid_after_utc < datetime.now(UTC) + timedelta(days=30):
        raise ValueError("expires within a month")
    return chain, key


def make() -> tuple[bytes, bytes]:
    """(chain, key): a certificate for signing and the authority that issued it, whose key is forgotten at once."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID, ObjectIdentifier

    from uip2p.provenance.signer import PURPOSES

    def name(common: str) -> x509.Name:
        parts = ((NameOID.COMMON_NAME, common), (NameOID.ORGANIZATION_NAME, ORGANIZATION))
        return x509.Name([x509.NameAttribute(which, text) for which, text in parts])

    def usage(*, signs_certificates: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
            content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip

    def certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(authority, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=365 * YEARS))
        builder = builder.add_extension(x509.BasicConstraints(subject == authority, None), critical=True)
        builder = builder.add_extension(usage(signs_certificates=subject == authority), critical=True)
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)

    authority = name("UIP2P local test authority")
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    top = certificate(authority, authority_key).sign(authority_key, hashes.SHA256())
    leaf = (
        certificate(name("UIP2P local test certificate"), key)
        .add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(which) for which in PURPOSES[:2]]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    chain = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (leaf, top))
    return chain, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
