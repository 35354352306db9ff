"""LoRA by peft: what is trained, merged and written computes the same, in our hands and in stock diffusers'."""

import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from safetensors.torch import load_file, save_file
from tiny import build_pipeline, build_xl_pipeline

from uip2p.errors import UserError
from uip2p.models.lora import FILE, LoraConfig, add_lora, apply_lora, check_lora, merged, save_lora


def trained(unet):
    """With a LoRA and a conv_in that have moved, as after some steps."""
    add_lora(unet, LoraConfig(rank=3, alpha=6))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return unet


def say(unet):
    generator = torch.Generator().manual_seed(6)
    noisy, states = torch.randn(2, 8, 8, 8, generator=generator), torch.randn(2, 16, 16, generator=generator)
    with torch.no_grad():
        return unet(noisy, torch.tensor([10, 900]), states).sample


def test_it_begins_as_the_model_it_is_added_to_and_trains_only_itself_and_conv_in():
    unet = build_pipeline().unet.eval()
    before = say(unet)
    add_lora(unet, LoraConfig(rank=2))
    assert torch.equal(before, say(unet))
    names = {name for name, parameter in unet.named_parameters() if parameter.requires_grad}
    assert "conv_in.weight" in names and all("lora_" in name for name in names - {"conv_in.weight"})
    assert len(names) == 1 + 2 * 4 * 2 * 4  # 4 attention blocks, self and cross, 4 matrices, A and B


def test_merged_is_plain_and_computes_the_same():
    unet = trained(build_pipeline().unet.eval())
    kept = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    plain = merged(unet)
    assert not any("lora" in name for name in plain.state_dict()) and not hasattr(plain, "peft_config")
    assert torch.allclose(say(plain), say(unet), atol=1e-5)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in unet.state_dict().items())
    assert not torch.allclose(say(plain), say(build_pipeline().unet.eval()), atol=1e-2)


@pytest.mark.parametrize("channels", [8, 96])  # fewer and more than conv_in has inputs, 8 · 3 · 3
def test_stock_load_lora_weights_takes_the_file(tmp_path, channels):
    def pipeline() -> StableDiffusionInstructPix2PixPipeline:
        pipe = build_pipeline()
        if channels != 8:
            torch.manual_seed(1)
            config = {**pipe.unet.config, "block_out_channels": (channels, 16)}
            pipe.unet = type(pipe.unet).from_config(config)
        pipe.unet.eval()
        return pipe

    unet = trained(pipeline().unet)
    save_lora(unet, tmp_path, {"base": "tiny"})
    stock = pipeline()
    stock.load_lora_weights(tmp_path)
    assert torch.allclose(say(stock.unet), say(unet), atol=1e-5)
    fused = pipeline()
    apply_lora(fused, tmp_path / FILE)
    assert torch.allclose(say(fused.unet), say(unet), atol=1e-5)
    assert not any("lora" in name for name in fused.unet.state_dict())


def test_a_lora_of_another_base_is_refused_by_name(tmp_path):
    file = save_lora(trained(build_pipeline().unet), tmp_path, {"base": "owner/name"})
    wide = build_xl_pipeline().unet
    with pytest.raises(UserError, match=r"another base\. It was trained on owner/name"):
        check_lora(file, wide)
    tensors = load_file(file)
    gone = "unet.conv_in.lora_B.weight"
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, file)
    with pytest.raises(UserError, match=f"the tensor '{gone}' is missing"):
        check_lora(file, build_pipeline().unet)
    save_file({"unet.up_blocks.7.attn1.to_q.lora_A.weight": torch.zeros(2, 2)}, file)
    with pytest.raises(UserError, match=r"the layer 'up_blocks\.7\.attn1\.to_q', which this model does not have"):
        check_lora(file, build_pipeline().unet)
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2, 2)}, file)
    with pytest.raises(UserError, match="diffusers' layout"):
        check_lora(file, build_pipeline().unet)
    file.write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        check_lora(file, build_pipeline().unet)


def test_targets_that_fit_no_layer():
    with pytest.raises(UserError, match=r"targets \['to_x'\] fit no layer"):
        add_lora(build_pipeline().unet, LoraConfig(rank=2, targets=("to_x",)))
