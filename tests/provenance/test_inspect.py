"""`uip2p inspect`, as a person runs it, on pictures of any kind and origin."""

from __future__ import annotations

import io
import json
import random

import pytest
from PIL import Image, PngImagePlugin

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.provenance import Signer, inspect, save
from uip2p.provenance.telling import sentences


@pytest.fixture
def run(capsys):
    def run(*args: object) -> tuple[int, str, str]:
        return (main(["inspect", *map(str, args)]), *capsys.readouterr())

    return run


def test_an_edited_picture_in_sentences(run, large, made, tmp_path):
    path = save(large, tmp_path / "out.png", made)
    code, stdout, _ = run(path)
    assert code == 0
    for said in (
        "out.png: PNG, 320×256", "It holds: nothing was changed after it was signed", "local test certificate",
        "By UIP2P 0.1.0: opened a picture, edited, put a watermark on",
        "model mini, seed 3, steps 20, guidance scale 7.5", "edited with a trained model (AI)",
        "does not say where it was taken", "that of UIP2P is in the pixels",
    ):  # fmt: skip
        assert said in stdout
    assert "claims nothing" not in stdout


def test_a_plain_picture_claims_nothing_and_that_is_no_error(run, picture, tmp_path):
    picture.save(tmp_path / "plain.png")
    code, stdout, _ = run(tmp_path / "plain.png")
    assert code == 0 and "claims nothing; that proves nothing" in stdout and "no manifest" in stdout
    assert "too small to carry one" in stdout


def test_json_is_one_object_a_line(run, picture, made, tmp_path):
    save(picture, tmp_path / "a.png", made)
    picture.save(tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    code, stdout, _ = run("--json", tmp_path)
    first, second = map(json.loads, stdout.splitlines())
    assert code == 0 and first["file"].endswith("a.png") and first["manifests"][0]["faults"] == []
    assert first["watermark"] is None and not first["claims_nothing"]
    assert second["claims_nothing"] and second["manifests"] == []


def test_a_changed_picture(run, picture, made, tmp_path):
    path = save(picture, tmp_path / "out.bmp", made)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    _, stdout, _ = run(path)
    assert "It does NOT hold: the picture was changed after it was signed" in stdout and "out.bmp.c2pa" in stdout


def test_a_certificate_of_one_s_own_is_named_and_not_vouched_for(run, picture, made, own, tmp_path):
    save(picture, tmp_path / "out.png", made, Signer.from_files(*own))
    _, stdout, _ = run(tmp_path / "out.png")
    assert "Signed by Ann Example, Example Press, says the certificate" in stdout and "local test" not in stdout
    assert "not asked of any list" in stdout


def test_camera_and_place(run, photograph, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(photograph)
    _, stdout, _ = run(tmp_path / "photo.jpg")
    assert "Camera: Nikon D850 of Ann." in stdout and "It says where it was taken (GPS)" in stdout
    assert "51" not in stdout.split("photo.jpg")[1]  # that it does, not where


def test_prompts_of_other_programs(run, picture, tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a secret prompt\nSteps: 20, Seed: 1")
    info.add_text("workflow", "{}")
    picture.save(tmp_path / "a.png", pnginfo=info)
    code, stdout, _ = run(tmp_path / "a.png")
    assert code == 0 and "prompt of A1111 and ComfyUI" in stdout and "secret" not in stdout


def test_source_types_as_other_programs_write_them(picture, tmp_path):
    for written in (
        'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"',
        "><Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</x",
        '><Iptc4xmpExt:DigitalSourceType rdf:resource="http://cv.iptc.org/newscodes/digitalsourcetype/'
        'trainedAlgorithmicMedia"/',
    ):
        picture.save(tmp_path / "a.jpg", xmp=f"<rdf:Description {written}>".encode())
        told = "\n".join(sentences(inspect(tmp_path / "a.jpg")))
        assert "made by a trained model (AI) [trainedAlgorithmicMedia]" in told


def test_what_cannot_be_read(run, picture, tmp_path):
    code, _, stderr = run(tmp_path / "missing.png")
    assert code == 2 and "missing.png: there is no such file" in stderr
    (tmp_path / "text.png").write_text("hello")
    picture.save(tmp_path / "good.png")
    code, stdout, stderr = run(tmp_path / "text.png", tmp_path / "good.png")
    assert code == 2 and "text.png: not a picture" in stderr and "good.png: PNG" in stdout
    (tmp_path / "empty").mkdir()
    code, _, stderr = run(tmp_path / "empty")
    assert code == 2 and "no picture in this folder" in stderr


def test_a_stranger_s_text_stays_one_line(run, picture, tmp_path):
    tags = Image.Exif()
    tags[305] = "\x1b[2JEvil\nIt holds: nothing was changed" + "A" * 5000
    picture.save(tmp_path / "a.jpg", exif=tags)
    _, stdout, _ = run(tmp_path / "a.jpg")
    assert "\x1b" not in stdout and len(max(stdout.splitlines(), key=len)) < 400
    assert not any(line.strip().startswith("It holds") for line in stdout.splitlines())


def test_hostile_headers(picture, tmp_path):
    content = io.BytesIO()
    picture.save(content, "JPEG")
    whole = content.getvalue()
    huge = b"".join(b"\xff\xe1\xff\xff" + b"Exif\0\0" + b"MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 65515 for _ in range(20))
    bomb = PngImagePlugin.PngInfo()
    bomb.add_text("parameters", "x" * 3_000_000, zip=True)
    picture.save(tmp_path / "text.png", pnginfo=bomb)
    (tmp_path / "exif.jpg").write_bytes(whole[:2] + huge + whole[2:])
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "exif.jpg", "cut.jpg"):
        try:
            assert sentences(inspect(tmp_path / name))
        except UserError as error:
            assert name in str(error)
    assert "cut short" in (inspect(tmp_path / "cut.jpg").problem or "")


def test_mutated_manifests_are_told_and_none_holds(picture, made, tmp_path):
    """Bytes of the manifest changed, cut out and put in: a sentence each time. Bounded: 30 files."""
    path = save(picture, tmp_path / "whole.jpg", made)
    whole, random_ = path.read_bytes(), random.Random(0)
    start = whole.index(b"jumb")
    end = whole.index(b"jumdc2cs")  # the signature's box: it holds padding too
    for number in range(30):
        content, at = bytearray(whole), random_.randrange(start, end)
        if number % 3 == 0:
            content[at] ^= random_.randrange(1, 256)
        elif number % 3 == 1:
            del content[at : at + random_.randrange(1, 100)]
        else:
            content[at:at] = random_.randbytes(20)
        path.write_bytes(content)
        try:
            claims = inspect(path)
        except UserError:
            continue
        assert sentences(claims)
        assert not claims.manifests or claims.manifests[0].faults
