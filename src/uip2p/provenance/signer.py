"""Who signs: a certificate of one's own, or the local test certificate, which proves nothing about who."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from uip2p.errors import UserError, first_line

if TYPE_CHECKING:
    from cryptography import x509

# What a certificate must be for, any one of them: C2PA's own purpose, e-mail, documents, Microsoft's for C2PA
PURPOSES = ("1.3.6.1.4.1.62558.2.1", "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.311.76.59.1.9")
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}  # of keys -> algorithms of C2PA
INSTALL = "pip install 'uip2p[provenance]'"


@dataclass(frozen=True, slots=True)
class Signer:
    """chain: PEM, the signing certificate first. key: PEM, PKCS 8, not encrypted. algorithm: as C2PA names it.
    timestamp_url: of an RFC 3161 authority that is asked at each signature, None for none: no network at all.
    local: whether it is the local test certificate."""

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str = "es256"
    timestamp_url: str | None = None
    local: bool = False

    @classmethod
    def from_files(cls, certificate: str | Path, key: str | Path, timestamp_url: str | None = None) -> Signer:
        """A user's own. UserError: a file that is missing or not PEM; a certificate that has expired, is not yet valid,
        signs itself or is for other purposes; a key that does not fit; a URL that is none."""
        need("cryptography", "c2pa")
        chain = _certificates(Path(certificate))
        secret = _key(Path(key))
        _check(chain[0], Path(certificate))
        if _public_bytes(secret.public_key()) != _public_bytes(chain[0].public_key()):
            raise UserError(f"{key}: this key does not fit the first certificate of {certificate}. Give its own.")
        return cls(_pem(chain), _pem_key(secret), _algorithm(secret, Path(key)), check_url(timestamp_url))

    @classmethod
    def default(cls, timestamp_url: str | None = None) -> Signer:
        """The local test certificate, made when it is first needed. See `local.py`."""
        from uip2p.provenance.local import local_certificate

        need("cryptography", "c2pa")
        chain, key = local_certificate()
        return cls(chain, key, timestamp_url=check_url(timestamp_url), local=True)


def missing(*modules: str) -> list[str]:
    """Which of these cannot be imported, without importing any."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


def need(*modules: str) -> None:
    if absent := missing(*modules):
        raise UserError(f"signing needs {' and '.join(absent)}, which is not installed: {INSTALL}.")


def check_url(url: str | None) -> str | None:
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise UserError(f"--timestamp-url {url}: give an http:// or https:// address of a timestamp authority.")
    return url


def _certificates(path: Path) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise UserError(
            f"{path}: holds no PEM certificate. Give the signing certificate and then those that vouch for it, "
            "each from BEGIN CERTIFICATE to END CERTIFICATE."
        ) from error


def _key(path: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(_read(path), password=None)
    except TypeError:
        raise UserError(f"{path}: this key has a passphrase. Give one without (openssl pkey -in KEY -out K).") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{path}: holds no PEM private key ({first_line(error)}).") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error


def _check(leaf: x509.Certificate, path: Path) -> None:
    from cryptography import x509

    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        raise UserError(f"{path}: the certificate expired on {leaf.not_valid_after_utc:%d %B %Y}. Get a new one.")
    if leaf.not_valid_before_utc > now:
        raise UserError(f"{path}: the certificate is valid from {leaf.not_valid_before_utc:%d %B %Y}, not yet.")
    if leaf.issuer == leaf.subject:
        raise UserError(f"{path}: the first certificate signs itself, which C2PA does not take. Put the signing "
                        "certificate first, and then the one that issued it.")  # fmt: skip
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        purposes = {purpose.dotted_string for purpose in usage}
    except x509.ExtensionNotFound:
        purposes = set()
    if not purposes & set(PURPOSES):
        raise UserError(
            f"{path}: the certificate is not for signing content: its extended key usage names none of C2PA claim "
            "signing, e-mail protection and document signing. Ask who issued it for one that does."
        )


def _algorithm(key: Any, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    raise UserError(f"{path}: C2PA takes keys on P-256, P-384 or P-521, Ed25519, or RSA of 2048 bits and more.")


def _public_bytes(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem(chain: list[x509.Certificate]) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def _pem_key(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
