"""The launch files in examples/ are what Slurm, SkyPilot and our own command line take."""

import argparse
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import get_args_parser

from uip2p.learning.command import add_arguments
from uip2p.learning.recipes import recipe_names

EXAMPLES = Path(__file__).parents[1] / "examples"
SLURM, SKY = EXAMPLES / "slurm.sbatch", EXAMPLES / "sky.yaml"
VARIABLES = {"RECIPE": "sd15-ip2p", "DATA": "data", "OUT": "runs/sd15"}


def train_arguments(text: str) -> list[str]:
    """Of the torchrun command in a file: what stands behind `-m uip2p.cli`."""
    joined = text.replace("\\\n", " ")
    words = shlex.split(re.search(r"-m uip2p\.cli (.*?)(?:&?\n|$)", joined)[1])
    return [re.sub(r"\$\{?(\w+)\}?", lambda m: VARIABLES[m[1]], word) for word in words if word != "$@"]


def torchrun_options(text: str) -> list[str]:
    return re.findall(r"--[a-z-]+", re.search(r"torchrun +(--.*?)-m uip2p", text.replace("\\\n", " "))[1])


@pytest.mark.parametrize("file", [SLURM, SKY], ids=lambda file: file.name)
def test_the_command_is_one_that_we_and_torchrun_take(file):
    arguments = train_arguments(file.read_text())
    assert arguments[0] == "train"
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    asked = parser.parse_args(arguments[1:])
    assert asked.recipe == VARIABLES["RECIPE"] and asked.data and asked.out
    options, known = torchrun_options(file.read_text()), get_args_parser()._option_string_actions
    assert len(options) >= 5 and all(option in known for option in options)


def test_the_slurm_script_is_bash_and_its_options_are_slurms():
    assert subprocess.run(["bash", "-n", SLURM]).returncode == 0
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", SLURM.read_text(), re.M))
    assert {"nodes", "ntasks-per-node", "requeue", "signal", "open-mode"} <= options.keys()
    assert options["ntasks-per-node"] == "1", "torchrun starts the others"
    first_command = SLURM.read_text().index("\nset -euo")
    assert SLURM.read_text().rindex("#SBATCH") < first_command, "Slurm stops reading there"
    assert re.search(r'RECIPE:-([\w-]+)', SLURM.read_text())[1] in recipe_names()


STAND_INS = {
    "scontrol": 'if [ "$1" = show ]; then echo node1; echo node2; else echo "$@" >> "$CALLS"; fi',
    "srun": 'echo "srun $*" >> "$CALLS"; trap "exit 1" TERM; eval "$SRUN"',
}


@pytest.fixture
def slurm(tmp_path):
    """A machine whose srun does what a test says: a function that runs the script there."""
    (tmp_path / "bin").mkdir()
    for name, lines in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{lines}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    calls, out = tmp_path / "calls", tmp_path / "runs/one"

    def start(srun: str) -> subprocess.Popen:
        here = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CALLS": str(calls), "SRUN": srun, "OUT": str(out),
                "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2",
                "SLURM_GPUS_ON_NODE": "4"}  # fmt: skip
        calls.write_text("")
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(["bash", SLURM, "--set", "train.shard=true"], env=os.environ | here, **pipe)

    return start, calls, out


def test_a_job_that_is_not_finished_queues_itself_again_and_a_finished_one_does_not(slurm):
    start, calls, out = slurm
    job = start("exit 1")
    job.communicate()
    assert job.returncode == 0 and calls.read_text().splitlines()[-1] == "requeue 7"
    asked = calls.read_text()
    assert "--nnodes 2 --nproc-per-node 4" in asked and "--rdzv-endpoint node1:29500" in asked
    assert asked.splitlines()[0].endswith(f"--out {out} --set train.shard=true")
    job = start('mkdir -p "$OUT"; touch "$OUT/finished.json"')
    job.communicate()
    assert job.returncode == 0 and "requeue" not in calls.read_text()


def test_asked_to_stop_it_waits_for_the_saving_and_queues_itself_again(slurm):
    start, calls, out = slurm
    job = start('sleep 2; mkdir -p "$OUT/checkpoints/step-00000004"; exit 1')
    while "srun" not in calls.read_text():
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    said, _ = job.communicate()
    assert "asked to stop" in said and (out / "checkpoints/step-00000004").is_dir(), "it has waited"
    assert job.returncode == 0 and calls.read_text().splitlines()[-1] == "requeue 7"


def test_it_ends_when_told_to_and_when_nothing_comes_of_it(slurm):
    start, calls, out = slurm
    for number in range(5):
        job = start("exit 3")
        _, said = job.communicate()
        assert (job.returncode == 0) == ("requeue" in calls.read_text()) == (number < 4)
    assert "five starts without a new checkpoint" in said
    Path(f"{out}.stop").touch()
    Path(f"{out}.starts").unlink()
    job = start("exit 3")
    job.communicate()
    assert job.returncode == 3 and "requeue" not in calls.read_text()


def test_the_sky_file_mounts_what_a_run_needs():
    task = yaml.safe_load(SKY.read_text())
    known = {"name", "resources", "num_nodes", "workdir", "envs", "file_mounts", "setup", "run"}
    assert task.keys() <= known and task["resources"]["use_spot"] is True
    runs = task["file_mounts"]["/runs"]
    assert runs["mode"] == "MOUNT_CACHED", "MOUNT can neither append nor rename"
    assert task["file_mounts"]["/data"]["mode"] in ("COPY", "MOUNT")
    used = set(re.findall(r"\$\{?([A-Z_]+)\}?", task["run"] + str(task["file_mounts"])))
    assert {name for name in used if not name.startswith("SKYPILOT_")} == task["envs"].keys()
    assert used - task["envs"].keys() <= {"SKYPILOT_NODE_IPS", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES",
                                          "SKYPILOT_NUM_GPUS_PER_NODE"}  # fmt: skip
    assert task["envs"]["RECIPE"] in recipe_names()
    for part in ("setup", "run"):
        assert subprocess.run(["bash", "-n"], input=task[part], text=True).returncode == 0
