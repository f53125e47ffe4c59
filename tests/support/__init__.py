"""What tests share: data, runs and models to try things on."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
