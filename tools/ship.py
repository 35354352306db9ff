"""Pack trained stages into src/uip2p/assets: fp16 safetensors and nothing else, at most 40 MB in all.

    python tools/ship.py --root runs/mini

Each model is loaded and saved again by its own class, so that what ships is what users load. `manifest.json` beside
them says with which recipe each was trained, at which commit it was packed, what it cost, and its sha256.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from safetensors.torch import load_file, save_file

ASSETS = Path(__file__).parents[1] / "src/uip2p/assets"
# Folder of a run in the root → of what ships. The editor is the row of `uip2p compare ship` that its table measures.
STAGES = {"base": "base-mini", "rows/uip2p/seed-1": "uip2p-mini", "clip": "clip", "judge": "clip-judge"}
LIMIT = 40_000_000  # bytes: the whole package has to stay a quick install


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("runs/mini"))
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    args = parser.parse_args()
    manifest_path = ASSETS / "manifest.json"
    manifest = json.loads(manifest_path.read_text()) if manifest_path.is_file() else {}
    for stage in args.stages:
        run, target = args.root / stage, ASSETS / STAGES[stage]
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run / "model", target)
        for weights in target.rglob("*.safetensors"):
            save_file(
                {
                    name: tensor.half() if tensor.is_floating_point() else tensor
                    for name, tensor in load_file(weights).items()
                },
                weights,
                metadata={"format": "pt"},
            )
        manifest[STAGES[stage]] = describe(run, target)
    manifest_path.write_text(json.dumps(manifest, indent=2) + "\n")
    total = sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file())
    print(f"{total / 1e6:.1f} MB in {ASSETS}")
    if total > LIMIT:
        raise SystemExit(f"{total} bytes are more than the {LIMIT} that may ship")


def describe(run: Path, target: Path) -> dict:
    """Where a model came from and what it cost."""
    config = json.loads((run / "config.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "seconds" in row]
    best = [row for row in rows if row.get("best")]
    recipe = {name: value for name, value in config["recipe"].items() if name != "data"}
    recipe["data"] = {k: v for k, v in config["recipe"].get("data", {}).items() if k != "photo_folders"}
    return {
        "packed_at_commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
        "steps": steps[-1]["step"],
        "pictures": steps[-1]["images"],
        "minutes": round(steps[-1]["seconds"] / 60, 1),
        "exported_step": best[-1]["step"] if best else steps[-1]["step"],
        "recipe": recipe,
        "train": config["train"],
        "sha256": {
            str(path.relative_to(target)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(target.rglob("*.safetensors"))
        },
    }


if __name__ == "__main__":
    main()
