"""The Dockerfile, as far as it can be read without a daemon: what it copies is there, who runs, what it starts."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from uip2p import cli

ROOT = Path(__file__).parents[1]
LINES = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text())).splitlines()
STEPS = [tuple(line.split(maxsplit=1)) for line in LINES if line.strip()]
LAST = max(number for number, (name, _) in enumerate(STEPS) if name == "FROM")


def steps(name: str, of: list = STEPS) -> list[str]:
    return [what for kind, what in of if kind == name]


def test_every_step_is_one_that_docker_knows():
    known = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT",
             "CMD"}  # fmt: skip
    assert {name for name, _ in STEPS} <= known and steps("ARG")[0].startswith("PYTHON=")
    for command in steps("RUN"):
        assert subprocess.run(["bash", "-n"], input=command, text=True).returncode == 0


def test_the_base_is_one_version_and_the_rest_is_pinned():
    version = steps("ARG")[0].partition("=")[2]
    assert re.fullmatch(r"3\.\d+\.\d+-slim-\w+", version)
    assert all(what.startswith("python:${PYTHON}") for what in steps("FROM"))
    assert re.fullmatch(r'TORCH="torch==\d+\.\d+\.\d+"', steps("ARG")[1])
    assert re.search(r"TORCH \?= (\S+)", (ROOT / "Makefile").read_text())[1] in steps("ARG")[1]
    assert any('install -c requirements.txt ".[serve,provenance]"' in command for command in steps("RUN"))


def test_what_is_copied_is_there_and_not_ignored():
    """.dockerignore lets in by name; everything else stays outside, keys and histories too."""
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignore[0] == "*"
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = {name for what in steps("COPY") if not what.startswith("--from") for name in what.split()[:-1]}
    assert copied == allowed and all((ROOT / name).exists() for name in copied)


def test_it_runs_as_nobody_in_particular_and_has_no_secrets():
    final = STEPS[LAST:]
    users = [number for number, (name, _) in enumerate(final) if name == "USER"]
    assert final[users[-1]][1] == "10001" and not any(name == "RUN" for name, _ in final[users[-1] :])
    assert not re.search(r"token|secret|password|api_key", " ".join(steps("ENV") + steps("ARG")), re.I)
    assert "/cache" in steps("VOLUME", final)[0] and "HF_HOME=/cache/" in steps("ENV", final)[0]


def test_it_starts_the_api_and_asks_after_its_health():
    final = STEPS[LAST:]
    assert json.loads(steps("ENTRYPOINT", final)[0]) == ["uip2p"]
    command = json.loads(steps("CMD", final)[0])
    port = command[command.index("--port") + 1]
    assert command[:3] == ["serve", "--host", "0.0.0.0"] and steps("EXPOSE", final) == [port]
    asked = json.loads(steps("HEALTHCHECK", final)[0].partition("CMD ")[2])
    assert asked[:2] == ["python", "-c"] and f":{port}/health" in asked[2]
    compile(asked[2], "healthcheck", "exec")
    if "serve" not in cli.VERBS:
        pytest.skip("this checkout has no `uip2p serve` yet")
    args = cli.parse(command)
    assert (args.verb, args.host, str(args.port)) == ("serve", "0.0.0.0", port)
