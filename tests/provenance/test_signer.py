"""Who signs: the local test certificate, made once, and a user's own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
import warnings
from datetime import timedelta

import pytest
from certificates import issue
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from uip2p.errors import UserError
from uip2p.provenance import Signer, encode, inspect, local, manifest


def test_the_local_certificate_is_kept_for_this_user_alone(tmp_path):
    path = tmp_path / "data" / "uip2p" / local.FILE
    chain, key = local._local_certificate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(path.parent) == [path.name]
    local._local_certificate.cache_clear()
    assert local._local_certificate(path) == (chain, key)
    leaf, authority = x509.load_pem_x509_certificates(chain)
    assert "proves nothing about who" in leaf.subject.rfc4514_string() + authority.subject.rfc4514_string()
    leaf.verify_directly_issued_by(authority)


def test_it_lives_in_the_data_folder(data_home, monkeypatch, tmp_path):
    assert local.home() == data_home / "uip2p"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local.home() == tmp_path / ".local" / "share" / "uip2p"


def test_processes_at_once_share_one(tmp_path):
    """Three that start together sign with the same certificate, and no half file is left."""
    program = (
        "import sys, time\n"
        "from uip2p.provenance.local import local_certificate\n"
        "import cryptography.x509\n"
        "time.sleep(max(0, float(sys.argv[1]) - time.time()))\n"
        "sys.stdout.write(local_certificate()[0].decode())"
    )
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program, str(time.time() + 1)]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    chains = {process.communicate(timeout=60)[0] for process in running}
    assert len(chains) == 1 and chains.pop().startswith("-----BEGIN CERTIFICATE")
    assert os.listdir(tmp_path / "uip2p") == [local.FILE]


def test_the_first_to_write_wins(tmp_path):
    path, first, second = tmp_path / "file.pem", b"".join(local.make()), b"".join(local.make())
    assert local.keep(path, first) == first
    assert local.keep(path, second) == first == path.read_bytes()
    path.write_bytes(b"damaged")
    assert local.keep(path, second) == second == path.read_bytes()


def test_a_home_that_cannot_be_written(tmp_path, picture, made):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.warns(UserWarning, match="cannot be kept"):
        chain, key = local._local_certificate(blocked / "uip2p" / local.FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert local._local_certificate(blocked / "uip2p" / local.FILE) == (chain, key)
        said = manifest.read(encode(picture, "PNG", made, Signer(chain, key, local=True)), "image/png")
    assert said is not None and manifest.failures(said) == []


def test_a_user_without_a_home(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(local.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.warns(UserWarning, match="has no home"):
        chain, key = local.local_certificate()
    assert local.local_certificate() == local.split(chain + key) == (chain, key)


def test_one_that_expires_soon_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "YEARS", 0.05)
    old = b"".join(local.make())
    monkeypatch.undo()
    path = tmp_path / local.FILE
    path.write_bytes(old)
    chain, _ = local._local_certificate(path)
    leaf = x509.load_pem_x509_certificates(chain)[0]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc > timedelta(days=3000)
    assert path.read_bytes() != old


def test_a_certificate_of_one_s_own(own, picture, made, tmp_path):
    signer = Signer.from_files(*own)
    assert not signer.local and "PRIVATE" not in repr(signer)
    (tmp_path / "out.png").write_bytes(encode(picture, "PNG", made, signer))
    (signed,) = inspect(tmp_path / "out.png").manifests
    assert signed.signer == "Ann Example, Example Press" and not signed.faults and not signed.local_test


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "es384"),
        (lambda: ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (lambda: rsa.generate_private_key(65537, 2048), "ps256"),
    ],
)
def test_other_keys_sign_too(key, algorithm, tmp_path, picture, made):
    signer = Signer.from_files(*issue(tmp_path, key=key()))
    assert signer.algorithm == algorithm
    said = manifest.read(encode(picture, "PNG", made, signer), "image/png")
    assert said is not None and manifest.failures(said) == []


def test_what_cannot_sign_is_told(own, tmp_path):
    chain, key = own

    def refused(match: str, chain=chain, key=key, **more) -> None:
        with pytest.raises(UserError, match=match):
            Signer.from_files(chain, key, **more)

    refused("no-such.pem: cannot be read", chain=tmp_path / "no-such.pem")
    refused("no-such.pem: cannot be read", key=tmp_path / "no-such.pem")
    refused("holds no PEM certificate", chain=key)
    refused("holds no PEM private key", key=chain)
    refused("does not fit", key=issue(tmp_path)[1])
    refused("expired on", *issue(tmp_path, days=-1))
    refused("not for signing content", *issue(tmp_path, purpose=ExtendedKeyUsageOID.SERVER_AUTH))
    refused("not for signing content", *issue(tmp_path, purpose=None))
    refused("signs itself", *issue(tmp_path, self_signed=True))
    refused("P-256", *issue(tmp_path, key=ec.generate_private_key(ec.SECP256K1())))
    refused("http", timestamp_url="ftp://example.org")
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    refused("passphrase", key=locked)


def test_a_timestamp_authority_that_does_not_answer(own, picture, made):
    signer = Signer.from_files(*own, timestamp_url="http://127.0.0.1:9/")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9"):
        encode(picture, "PNG", made, signer)
