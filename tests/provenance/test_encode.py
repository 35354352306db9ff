"""What an edited file says, and what it does not."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import c2pa
import numpy as np
import pytest
from PIL import Image

from uip2p.errors import UserError
from uip2p.images import load_image
from uip2p.provenance import Made, Signer, encode, inspect, manifest, save
from uip2p.provenance.made import SOURCE_TYPE
from uip2p.provenance.metadata import xmp

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tiff", "BMP": ".bmp"}


@pytest.mark.parametrize("format", FORMATS)
def test_round_trip(format, picture, made, tmp_path):
    path = save(picture, tmp_path / f"out{FORMATS[format]}", made)
    claims = inspect(path)
    (signed,) = claims.manifests
    assert claims.format == format and not signed.faults and signed.local_test
    assert signed.generator == made.software
    opened, edited = signed.actions
    assert opened["action"] == "c2pa.opened" and edited["action"] == "c2pa.edited"
    assert edited["source_type"] == SOURCE_TYPE and edited["agent"] == "UIP2P"
    assert {key: edited[f"uip2p.{key}"] for key in ("model", "seed", "steps", "guidance_scale", "scheduler")} == {
        "model": "mini", "seed": 3, "steps": 20, "guidance_scale": 7.5, "scheduler": "DDIMScheduler"
    }  # fmt: skip
    if format != "BMP":
        assert claims.source_type == SOURCE_TYPE and claims.software == made.software
        assert Image.open(path).getexif()[306] == made.time.strftime("%Y:%m:%d %H:%M:%S")
    assert (tmp_path / "out.bmp.c2pa").exists() == (format == "BMP")
    same = load_image(path)
    assert same.size == picture.size and (format == "JPEG" or np.array_equal(same, picture))


def test_encode_returns_what_save_writes(picture, made):
    content = encode(picture, "PNG", made)
    said = manifest.read(content, "image/png")
    assert said is not None and manifest.failures(said) == []
    with pytest.raises(UserError, match="GIF"):
        encode(picture, "GIF", made)


@pytest.mark.parametrize("format", FORMATS)
def test_one_pixel_changed_is_told(format, picture, made, tmp_path):
    """Only the pixels: the manifest is the one that was signed."""
    path = save(picture, tmp_path / f"out{FORMATS[format]}", made)
    content = bytearray(path.read_bytes())
    if format == "PNG":  # a chunk's checksum would betray it first
        start = content.index(b"IDAT")
        length = int.from_bytes(content[start - 4 : start], "big")
        other = picture.copy()
        other.putpixel((5, 5), (255, 0, 0))
        coded = io.BytesIO()
        other.save(coded, "PNG")
        chunks = coded.getvalue()
        new = chunks[chunks.index(b"IDAT") - 4 : chunks.index(b"IEND") - 4]
        content[start - 4 : start + 4 + length + 4] = new
    elif format == "JPEG":
        content[-40] ^= 1
    else:
        content[{"WEBP": content.find(b"VP8L") + 500, "TIFF": 20, "BMP": 2000}[format]] ^= 1
    path.write_bytes(content)
    (signed,) = inspect(path).manifests
    assert signed.changed and signed.faults


def test_nothing_of_the_source_survives(photograph, picture, made):
    for format in ("PNG", "JPEG", "WEBP", "TIFF"):
        content = encode(load_image(photograph), format, made, source=photograph)
        for secret in (b"Nikon", b"Ann", b"SecretName", b"GPS"):
            assert secret in photograph or secret == b"GPS"
            assert secret not in content
        written = Image.open(io.BytesIO(content))
        assert not written.getexif().get_ifd(0x8825)


def test_metadata_handed_in_with_a_picture_is_not_written(photograph, made):
    given = Image.open(io.BytesIO(photograph))
    given.load()
    assert b"Nikon" in given.info["exif"]
    for format in ("PNG", "JPEG", "WEBP", "TIFF"):
        assert b"Nikon" not in encode(given, format, made)


def test_the_instruction_is_told_only_when_asked(picture, made):
    quiet = encode(picture, "PNG", made)
    assert b"instruction" not in quiet and b"AIPromptInformation" not in quiet
    loud = encode(picture, "PNG", replace(made, instruction='make <it> "wintry" & \x07 cold'))
    said = manifest.read(loud, "image/png")
    (edited,) = [each for each in actions(said) if each["action"] == "c2pa.edited"]
    assert edited["parameters"]["uip2p.instruction"].startswith("make <it>")
    assert "make &lt;it&gt;" in Image.open(io.BytesIO(loud)).info["XML:com.adobe.xmp"]


def test_xmp_is_xml(made):
    import xml.etree.ElementTree as ET

    root = ET.fromstring(xmp(replace(made, instruction="a\x00b <&\"' ü", model="ü<")))
    (description,) = root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    iptc = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    assert description.get(f"{iptc}DigitalSourceType") == SOURCE_TYPE
    assert description.get(f"{iptc}AIPromptInformation") == "a b <&\"' ü"


def test_a_model_s_folder_is_not_told(tmp_path):
    from uip2p.provenance.made import public_name

    assert public_name("mini") == "mini" and public_name("org/model") == "org/model"
    assert public_name(tmp_path / "secret-project" / "run") == "run"
    assert public_name("~/secret/run/model.safetensors") == "model.safetensors"
    assert public_name("../secret/run") == "run"


def actions(said) -> list:
    active = said["manifests"][said["active_manifest"]]
    return active["assertion_store"]["c2pa.actions.v2"]["actions"]


def camera_file(content: bytes, parent: bytes | None = None, url: str | None = None, thumbnails: bool = True) -> bytes:
    """A JPEG signed as cameras and other editors do: with thumbnails, a place and an author."""
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    first: dict = {"action": "c2pa.created", "digitalSourceType": kind}
    if parent:
        first = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["before"]}}
    definition = {
        "claim_generator_info": [{"name": "Camera", "version": "1"}], "title": "IMG_1.jpg",
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [first]}},
            {"label": "stds.exif", "data": {"@context": {"exif": "http://ns.adobe.com/exif/1.0/"},
                                            "exif:GPSLatitude": "51,30.4N"}},
            {"label": "org.example.unknown", "data": {"secret": "AnnsHouse"}},
            {"label": "stds.schema-org.CreativeWork", "data": {"@context": "https://schema.org",
             "@type": "CreativeWork", "author": [{"@type": "Person", "name": "Ann Author"}]}},
        ],
    }  # fmt: skip
    context = c2pa.Context(c2pa.Settings.from_dict({"version": 1, "builder": {"thumbnail": {"enabled": thumbnails}}}))
    signer, signed = Signer.default(), io.BytesIO()
    builder = c2pa.Builder(definition, context=context)
    if parent:
        ingredient = {"title": "before", "relationship": "parentOf", "label": "before", "instance_id": "before"}
        builder.add_ingredient(ingredient, "image/jpeg", io.BytesIO(parent))
    if url:
        builder.set_no_embed()
        builder.set_remote_url(url)
    info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain, signer.key, None)
    builder.sign(c2pa.Signer.from_info(info), "image/jpeg", io.BytesIO(content), signed)
    return signed.getvalue()


@pytest.fixture(scope="module")
def history(large) -> bytes:
    """Taken by a camera, then opened by another program; thumbnails at each step."""
    content = io.BytesIO()
    large.save(content, "JPEG", quality=90)
    first = camera_file(content.getvalue())
    return camera_file(content.getvalue(), parent=first)


def test_a_signed_history_goes_on_without_thumbnails_and_places(history, picture, made, tmp_path):
    before = json.dumps(manifest.read(history, "image/jpeg"))
    assert "c2pa.thumbnail.claim" in before and "c2pa.thumbnail.ingredient" in before and "GPSLatitude" in before
    assert history.count(b"\xff\xd8\xff") > 3  # pictures in the picture
    path = tmp_path / "out.png"
    path.write_bytes(encode(picture, "PNG", made, source=history))
    content = path.read_bytes()
    for secret in (b"\xff\xd8\xff", b"JFIF", b"GPSLatitude", b"AnnsHouse"):
        assert secret not in content
    assert b"Ann Author" in content  # whose work it is may not be stripped
    claims = inspect(path)
    assert [signed.generator for signed in claims.manifests] == [made.software, "Camera 1", "Camera 1"]
    assert all(not signed.faults for signed in claims.manifests) and claims.manifests[0].redacted >= 6
    said = manifest.read(content, "image/png")
    stores = [label for each in said["manifests"].values() for label in each["assertion_store"]]
    assert len(said["manifests"]) == 3 and not [label for label in stores if "thumbnail" in label]


def test_no_thumbnail_where_there_is_no_history(photograph, picture, made):
    said = manifest.read(encode(picture, "JPEG", made, source=photograph), "image/jpeg")
    (store,) = [each["assertion_store"] for each in said["manifests"].values()]
    assert sorted(store) == ["c2pa.actions.v2", "c2pa.hash.data", "c2pa.ingredient.v3"]
    assert store["c2pa.ingredient.v3"] == {
        "relationship": "parentOf", "dc:title": "source picture", "instanceID": "source"
    }  # fmt: skip


def test_a_damaged_history_does_not_stop_an_edit(history, picture, made, tmp_path):
    """Changed pixels are told as such; a manifest that cannot be read is left behind."""
    changed, broken = bytearray(history), bytearray(history)
    changed[-50] ^= 1
    at = history.index(b"c2pa.claim.v2") + 30
    broken[at : at + 30] = b"\xff" * 30
    path = tmp_path / "out.png"
    path.write_bytes(encode(picture, "PNG", made, source=bytes(changed)))
    claims = inspect(path)
    assert not claims.manifests[0].faults and claims.manifests[1].changed
    path.write_bytes(encode(picture, "PNG", made, source=bytes(broken)))
    assert len(inspect(path).manifests) == 1 and not inspect(path).manifests[0].faults


def test_the_network_is_not_asked(picture, made, tmp_path):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        content = io.BytesIO()
        picture.save(content, "JPEG")
        elsewhere = camera_file(content.getvalue(), url=f"http://127.0.0.1:{server.server_port}/m", thumbnails=False)
        with pytest.raises(c2pa.C2paError):
            c2pa.Reader("image/jpeg", io.BytesIO(elsewhere))
        assert asked == ["/m"]  # so c2pa does by default
        encode(picture, "PNG", made, source=elsewhere)
        (tmp_path / "elsewhere.jpg").write_bytes(elsewhere)
        assert "nothing is fetched" in inspect(tmp_path / "elsewhere.jpg").c2pa_error
        assert asked == ["/m"]
    finally:
        server.shutdown()
        server.server_close()


def test_made_of_an_edit():
    from uip2p.editing.editor import Edited

    blank = Image.new("RGB", (8, 8))
    edited = Edited(blank, "make it red", 5, 10, 6.0, 1.2, "DDIMScheduler", 3, (8, 8), False, 0.5, 1.0)
    said = Made.of(edited, "mini")
    assert said.instruction is None and said.parameters() == {
        "uip2p.model": "mini", "uip2p.seed": 5, "uip2p.steps": 10, "uip2p.guidance_scale": 6.0,
        "uip2p.image_guidance_scale": 1.2, "uip2p.scheduler": "DDIMScheduler",
    }  # fmt: skip
    assert Made.of(edited, "mini", "make it red").parameters()["uip2p.instruction"] == "make it red"
