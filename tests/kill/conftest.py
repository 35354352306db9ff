import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "learning"))  # toy.py, the small training that is killed
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # serving_ray.py, which kills a replica
sys.path.append(str(Path(__file__).parents[2] / "recipes"))
