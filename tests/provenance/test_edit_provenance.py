"""`uip2p edit` writes provenance into every file, as its options say."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pytest

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.provenance import Signer, encode, inspect, manifest
from uip2p.provenance.encoding import tell_once


@pytest.fixture
def run(tiny_folder, capsys):
    def run(*args: object) -> tuple[int, str, str]:
        code = main(["edit", *map(str, args), "--model", str(tiny_folder), "--device", "cpu", "--steps", "1"])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def source(picture, tmp_path) -> Path:
    picture.save(tmp_path / "in.png")
    return tmp_path / "in.png"


def edited(path: Path) -> dict:
    """What the file says of its edit; it holds."""
    claims = inspect(path)
    assert not claims.manifests[0].faults
    (action,) = [each for each in claims.manifests[0].actions if each["action"] == "c2pa.edited"]
    return action


def test_a_result_says_so(run, source, tiny_folder, tmp_path):
    assert run(source, "add a dog", "-o", tmp_path / "out.png", "--seed", 7)[0] == 0
    said = edited(tmp_path / "out.png")
    assert said["uip2p.seed"] == 7 and said["uip2p.steps"] == 1 and said["uip2p.model"] == tiny_folder.name
    assert "uip2p.instruction" not in said
    assert str(tiny_folder.parent).encode() not in (tmp_path / "out.png").read_bytes()


def test_turns_are_a_chain(run, source, tmp_path):
    lines = "add a dog", "make the dog red"
    (tmp_path / "turns.txt").write_text("\n".join(lines))
    code, *_ = run("--turns", tmp_path / "turns.txt", source, "-o", tmp_path / "out.png", "--record-instruction")
    assert code == 0
    for name, turns in (("out-1", ["add a dog"]), ("out-2", [*lines]), ("out", [*lines])):
        assert len(inspect(tmp_path / f"{name}.png").manifests) == len(turns)
        assert edited(tmp_path / f"{name}.png")["uip2p.instruction"] == turns[-1]


def test_plain_files(run, source, tmp_path):
    assert run(source, "add a dog", "-o", tmp_path / "out.png", "--no-provenance")[0] == 0
    assert inspect(tmp_path / "out.png").empty


def test_options_that_do_not_go_together(run, source, own, tmp_path):
    out = tmp_path / "out.png"
    for options, said in (
        (("--no-provenance", "--certificate", own[0], "--key", own[1]), "leave out --certificate and --key"),
        (("--no-provenance", "--no-watermark"), "leave out --no-watermark"),
        (("--certificate", own[0]), "--certificate is given without --key"),
        (("--key", own[1]), "--key is given without --certificate"),
        (("--certificate", own[1], "--key", own[1]), "holds no PEM certificate"),
        (("--timestamp-url", "nowhere"), "--timestamp-url nowhere"),
    ):
        code, _, stderr = run(source, "add a dog", "-o", out, *options)
        assert code == 2 and said in stderr and not out.exists()


def test_a_certificate_that_c2pa_refuses_is_told_before_the_work(run, source, own, tmp_path):
    """The chain lacks the key identifiers that C2PA asks for: only signing tells."""
    from datetime import UTC, datetime, timedelta

    from certificates import PEM, name
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = serialization.load_pem_private_key(own[1].read_bytes(), None)
    now = datetime.now(UTC)
    bare = x509.CertificateBuilder(name("Someone"), name("Ann"), key.public_key(), x509.random_serial_number())
    bare = bare.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    bare = bare.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    (tmp_path / "bare.pem").write_bytes(bare.sign(key, hashes.SHA256()).public_bytes(PEM))
    code, _, stderr = run(source, "add a dog", "-o", tmp_path / "out.png", "--certificate", tmp_path / "bare.pem",
                          "--key", own[1])  # fmt: skip
    assert code == 2 and "C2PA" in stderr and "check the certificate" in stderr and not (tmp_path / "out.png").exists()


def test_records_say_so_and_resume(run, source, own, tmp_path):
    records = tmp_path / "metadata.jsonl"
    rows = [{"file_name": "in.png", "instruction": "add a dog"}]
    records.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out"
    assert "1 edited" in run("--records", records, "-o", out)[1]
    edited(out / "in.png")
    first = (out / "in.png").read_bytes()
    # signed by another from here on: that is no other request
    assert "1 already there" in run("--records", records, "-o", out, "--certificate", own[0], "--key", own[1])[1]
    assert (out / "in.png").read_bytes() == first
    code, _, stderr = run("--records", records, "-o", out, "--no-provenance")
    assert code == 2 and "no_provenance the default (now True)" in stderr


def test_without_the_packages(large, made, own, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    tell_once.cache_clear()
    with pytest.warns(UserWarning, match=r"pip install 'uip2p\[provenance\]'") as told:
        content = encode(large, "PNG", made)
    assert len(told) == 1 and "c2pa not installed" in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert encode(large, "PNG", made)
    assert b"compositeWithTrainedAlgorithmicMedia" in content and b"jumb" not in content
    signer = Signer(b"", b"")
    for attempt in (lambda: Signer.from_files(*own), lambda: encode(large, "PNG", made, signer)):
        with pytest.raises(UserError, match="c2pa, which is not installed"):
            attempt()
    (tmp_path / "out.png").write_bytes(content)
    assert inspect(tmp_path / "out.png").source_type and not inspect(tmp_path / "out.png").manifests


def test_a_signature_that_does_not_hold_is_an_error(picture, made, tmp_path):
    """A certificate of another purpose, past our own checks: what was written is read back, and refused."""
    from certificates import issue
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    chain, _ = issue(tmp_path, purpose=ExtendedKeyUsageOID.EMAIL_PROTECTION)
    other = tmp_path / "other"
    other.mkdir()
    _, key = issue(other, key=ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UserError, match=r"C2PA|does not hold"):
        encode(picture, "PNG", made, Signer(chain.read_bytes(), key.read_bytes()))
    assert manifest.failures({"validation_results": {"activeManifest": {"failure": [{"code": "x"}]}}}) == ["x"]


def test_a_plain_file_in_the_place_of_a_signed_one_leaves_no_manifest_of_the_other(run, source, tmp_path):
    assert run(source, "add a dog", "-o", tmp_path / "out.bmp")[0] == 0 and (tmp_path / "out.bmp.c2pa").exists()
    assert run(source, "add a dog", "-o", tmp_path / "out.bmp", "--no-provenance")[0] == 0
    assert not (tmp_path / "out.bmp.c2pa").exists()
