import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "learning"))  # toy.py, the small training that is killed
