"""The meter that options and a suite's defaults make."""

from __future__ import annotations

import argparse

import pytest
from huggingface_hub import constants

from uip2p.errors import UserError
from uip2p.evaluate.meter import DEFAULT
from uip2p.evaluate.meter_options import add_arguments, build_meter


def parse(*options):
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    add_arguments(parser.add_argument_group("figures"))
    return parser.parse_args(options)


def test_options(models):
    clip, dino, lpips = models["clip"], models["dino"], models["lpips"]
    meter = build_meter(parse("--clip", clip, "--dino", dino), "global")
    assert meter.figures == DEFAULT and meter.clip.preprocessing == "openai" and meter.captions == "global"
    meter = build_meter(
        parse("--clip", clip, "--clip-preprocessing", "ip2p", "--lpips", lpips, "--metrics-batch-size", "3"), "",
        figures=("l1", "clip_t"), quirk=True,
    )  # fmt: skip
    assert meter.figures == ("l1", "lpips", "clip_t")
    assert meter.clip.quirk and meter.clip.batch_size == meter.lpips.batch_size == 3
    meter = build_meter(parse("--metrics", "dino,l1", "--dino", dino), "", clip="no/where")
    assert meter.figures == ("l1", "dino") and meter.clip is None
    own = build_meter(parse("--clip", clip, "--dino", dino), "", figures=("l2",), own_clip=True)
    assert own.figures == ("l2", "dino") and own.clip is None
    meter = build_meter(parse(), "", figures=("clip_i",), clip="mini", preprocessing="stretch")
    assert (meter.clip.backbone, meter.clip.preprocessing) == ("clip-judge", "stretch")


@pytest.mark.parametrize("options, message", [
    (("--metrics", "l1,fid"), "there is no figure 'fid'"),
    (("--metrics", "l1", "--dino", "x"), "--dino: --metrics asks for none of dino"),
    (("--metrics", "l1", "--clip-preprocessing", "ip2p"), "--clip-preprocessing: --metrics asks for none of clip_i"),
    (("--metrics", "l1", "--clip", "x"), "--clip: --metrics asks for none of clip_i"),
    (("--metrics", "l1,lpips"), "give its file, --lpips FILE. To measure without lpips: --metrics l1"),
    (("--metrics", "lpips"), "--metrics l1"),
    (("--metrics-batch-size", "0"), "starts at 1"),
    (("--metrics", "l1,dino"), "To measure without dino: --metrics l1"),
    ((), "To measure without clip_i and clip_t and direction and clip_source: "
     "--metrics l1,l2,psnr,ssim,dino,inside,outside"),
])  # fmt: skip
def test_options_that_cannot_be_met(options, message, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as error:
        build_meter(parse(*options), "")
    assert message in str(error.value)
