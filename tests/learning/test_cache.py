"""A cache gives what the networks would give, in one process or two, killed or not, and says what is wrong with it."""

import json
import shutil
from itertools import chain

import numpy as np
import pytest
from safetensors.torch import load_file
from test_full_size import models  # noqa: F401  (a fixture)
from tiny import SIZE

from uip2p.cli import main
from uip2p.datasets import open_records
from uip2p.datasets.source import TEXTS
from uip2p.errors import UserError
from uip2p.learning import cache
from uip2p.learning.cache import CachedRecords, Variants, crop
from uip2p.learning.data import StepSampler, batches
from uip2p.learning.journal import Journal


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(cache, "ROWS", 16)  # the 40 records are three shards


def options(models):  # noqa: F811
    sets = [f"data.size={SIZE}", f"model.clips=['{models / 'clip'}']"]
    return ["--base", str(models / "sd"), *(f"--set={each}" for each in sets)]


def make(models, out, *more):  # noqa: F811
    more = (*more,) if "--data" in more else ("--data", str(models / "data"), *more)
    return main(["data", "cache", "--recipe", "sd15-ip2p", *options(models), "--out", str(out), *more])


def train(models, data, out, *more):  # noqa: F811
    few = ["train.steps=4", "train.batch_size=6", "train.micro_batch=3", "train.precision=fp32", "train.workers=0",
           "train.warmup_steps=0", "train.log_every=1", "train.sample_every_images=0", "train.validate_every=0",
           "data.validation=0", *more]  # fmt: skip
    sets = [f"--set={each}" for each in few]
    return main(["train", "--recipe", "sd15-ip2p", *options(models), "--data", str(data), "--out", str(out), *sets])


def test_training_from_a_cache_is_training(models, unplanned, tmp_path):  # noqa: F811
    """The same rows give the same losses, but for half precision. (Their order differs: shards are shuffled.)"""
    assert make(models, tmp_path / "cache") == 0
    assert train(models, tmp_path / "cache", tmp_path / "run", "loss.dropout=0.3") == 0
    assert [row["total"] for row in Journal.read(tmp_path / "run/metrics.jsonl") if "total" in row]

    from uip2p.learning.randomness import Draw
    from uip2p.learning.recipes import build, read_recipe

    sets = [f"model.base='{models / 'sd'}'", f"data.size={SIZE}", f"model.clips=['{models / 'clip'}']"]
    run = build("sd15-ip2p", read_recipe("sd15-ip2p", sets), tmp_path, tmp_path / "cache")
    live = open_records(models / "data")
    draw = Draw(1, 2, range(6))
    for dropout in (0.0, 0.3):
        object.__setattr__(run.objective.config, "dropout", dropout)
        rows = [run.dataset._row(0, index) for index in range(6)]
        plain = [{name: row[name] for name in ("image", *TEXTS)} for row in rows]
        cached, computed = run.objective(rows, draw).losses, run.objective(plain, draw).losses
        for name, value in computed.items():
            assert np.allclose(cached[name].detach(), value.detach(), rtol=0.02, atol=0.02), name
    assert live.record(0).caption == rows[0]["caption"]


def test_a_killed_or_damaged_cache_is_mended_and_the_rest_left_alone(models, tmp_path, monkeypatch):  # noqa: F811
    out, real, written = tmp_path / "cache", cache._write_shard, []

    def write(*args):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(args[4])
        real(*args)

    monkeypatch.setattr(cache, "_write_shard", write)
    assert make(models, out) == 130 and written == [0, 1]
    monkeypatch.setattr(cache, "_write_shard", real)
    before = {path: path.stat().st_mtime_ns for path in out.glob("shard-0000[01]*")}
    assert make(models, out) == 0 and (out / "shard-00002.safetensors").is_file()
    assert before == {path: path.stat().st_mtime_ns for path in before}

    whole = (out / "shard-00001.safetensors").read_bytes()
    (out / "shard-00001.safetensors").write_bytes(whole[:-5] + b"\x01" + whole[-4:])
    records = CachedRecords(out, {})
    with pytest.raises(UserError, match=r"shard-00001\.safetensors: is damaged \(its checksum.*mends what is damaged"):
        [records[index] for index in range(40)]
    assert make(models, out) == 0 and (out / "shard-00001.safetensors").read_bytes() == whole
    (out / "shard-00002.json").unlink()
    with pytest.raises(UserError, match=r"shard-00002\.json: is missing or damaged"):
        CachedRecords(out, {})


def test_a_thread_that_reads_ahead_gives_the_same_rows_and_the_same_errors(models, tmp_path):  # noqa: F811
    out, sampler = tmp_path / "cache", StepSampler(3, 20, 6, rank=1, world=2)
    assert make(models, out) == 0
    plain, ahead = (list(batches(CachedRecords(out, {}, seed=1), sampler, workers)) for workers in (0, 4))
    assert len(plain) == len(ahead) == 17
    for one, other in zip(chain(*plain), chain(*ahead), strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert np.array_equal(value, other[name]), name
            assert not isinstance(other[name], np.memmap), "it is read already"
    whole = (out / "shard-00001.safetensors").read_bytes()
    (out / "shard-00001.safetensors").write_bytes(whole[:-5] + b"\x01" + whole[-4:])
    with pytest.raises(UserError, match=r"shard-00001\.safetensors: is damaged"):
        list(batches(CachedRecords(out, {}), sampler, 1))


def test_ranks_share_the_shards_and_agree_with_one(models, tmp_path, monkeypatch):  # noqa: F811
    assert make(models, tmp_path / "one") == 0
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert make(models, tmp_path / "two") == 0
        count = len(list((tmp_path / "two").glob("*.safetensors")))
        assert count == (1 if rank == "1" else 3)
    for path in (tmp_path / "one").glob("*.safetensors"):
        one, two = load_file(path), load_file(tmp_path / "two" / path.name)
        assert one.keys() == two.keys() and all((one[name] == two[name]).all() for name in one)


def test_crops_and_flips_are_further_rows(models, tmp_path):  # noqa: F811
    data = tmp_path / "data"
    data.mkdir()
    rows = [json.loads(line) for line in (models / "data/metadata.jsonl").read_text().splitlines()[:2]]
    rows[1]["instruction"] = "move the car to the left"
    for row in rows:
        (data / row["file_name"]).write_bytes((models / "data" / row["file_name"]).read_bytes())
    (data / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert make(models, tmp_path / "cache", "--data", str(data), "--crops", "3", "--flips") == 0
    records = CachedRecords(tmp_path / "cache", {})
    assert len(records) == 6 + 3, "the second row says left"
    pictures = [records._row(0, index)["image"] for index in range(9)]
    assert len({picture.tobytes() for picture in pictures}) == 9
    assert (pictures[3] == pictures[0][:, ::-1]).all() and (pictures[4] == pictures[1][:, ::-1]).all()


def test_a_cache_of_other_models_or_sizes_is_refused(models, unplanned, tmp_path, capsys):  # noqa: F811
    assert make(models, tmp_path / "cache") == 0
    assert make(models, tmp_path / "cache", "--set=data.size=16") == 2
    assert "this cache was made with size = 32, and now it is 16" in capsys.readouterr().err
    assert train(models, tmp_path / "cache", tmp_path / "run", "data.size=16") == 2
    assert "this cache was made with size = 32, and this recipe has 16" in capsys.readouterr().err
    assert make(models, tmp_path / "other", "--set=model.train_text=true") == 2
    assert "trains its text encoder" in capsys.readouterr().err


def test_a_crop_is_a_function_of_the_name():
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    assert (crop(picture, 16, 1, "a") == crop(picture, 16, 1, "a")).all()
    assert (crop(picture, 16, 1, "a") != crop(picture, 16, 1, "b")).any()
    assert (crop(picture, 16, 1, "a") != crop(picture, 16, 2, "a")).any()
    with pytest.raises(UserError, match="crops starts at 1"):
        Variants(0)


def test_for_loss_encoders_that_read_latents_it_keeps_what_they_say_of_latents(models, tmp_path):  # noqa: F811
    from uip2p.learning.randomness import Draw
    from uip2p.learning.recipes import build, read_recipe
    from uip2p.models.clip import build_latent_clip, load_clip
    from uip2p.models.folder import load_pipeline

    vae = load_pipeline(models / "sd").vae
    side = SIZE // 2 ** (len(vae.config.block_out_channels) - 1)
    (tmp_path / "latent").mkdir()
    build_latent_clip(load_clip(models / "clip"), vae.config.latent_channels, side).save(tmp_path / "latent")
    clips = f"model.clips=['{tmp_path / 'latent'}']"
    assert make(models, tmp_path / "cache", f"--set={clips}") == 0
    sets = [f"model.base='{models / 'sd'}'", f"data.size={SIZE}", "loss.dropout=0.0", clips]
    run = build("sd15-ip2p", read_recipe("sd15-ip2p", sets), tmp_path, tmp_path / "cache")
    rows = [run.dataset._row(0, index) for index in range(4)]
    plain = [{name: row[name] for name in ("image", *TEXTS)} for row in rows]
    cached, computed = (run.objective(each, Draw(1, 2, range(4))).losses for each in (rows, plain))
    for name, value in computed.items():
        assert np.allclose(cached[name].detach(), value.detach(), rtol=0.02, atol=0.02), name


def test_a_corrupt_picture_is_replaced_by_the_next_and_written_down(models, tmp_path, capsys):  # noqa: F811
    data = shutil.copytree(models / "data", tmp_path / "data")
    source = open_records(data)
    victim = source.record(39)
    victim.image.write_bytes(victim.image.read_bytes()[:40])
    assert make(models, tmp_path / "cache", "--data", str(data)) == 0
    (line,) = (tmp_path / "cache/quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["row"] == source.name(39)
    rows = CachedRecords(tmp_path / "cache", {})
    captions = sorted(rows._row(2, index)["caption"] for index in range(8))
    assert captions == sorted(source.record(row).caption for row in (*range(32, 39), 0))

    assert make(models, tmp_path / "none", "--data", str(data), "--set=data.corrupt=0") == 2
    assert "1 of 40 pictures cannot be read" in capsys.readouterr().err
