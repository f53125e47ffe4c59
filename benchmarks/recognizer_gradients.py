"""What the gradients of single utterances cost a recogniser's head: in closed form, by Opacus' hooks, one by one.

    python benchmarks/recognizer_gradients.py [--rounds 15] [--utterances 16] [--vectors 200]

Prints a table and writes ``recognizer_gradients.json`` beside this file. All ways take the same batch of vectors of 384
numbers, as Whisper tiny has them, and write 30 characters by connectionist temporal classification. They take turns in
one process with one thread; what counts is the median over the turns of a way's time, the processor's, over that of a
plain backward pass in the same turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from rft.backbones.recognizer import FrameHead
from rft.pipeline.environment import describe_environment
from rft.plugins.privacy.training.gradients.engines import Batch, ClosedForm, Hooks, OneByOne
from rft.training.objectives import CTC

DIMENSION, OUTPUTS, CHARACTERS = 384, 31, 40
PLAIN = "a plain backward pass"


def main() -> None:
    """Time all ways in turn, print the medians and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--utterances", type=int, default=16)
    parser.add_argument("--vectors", type=int, default=200, help="of an utterance: 50 a second")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    times = _time_in_turn(_list_ways(*_make_up_batch(options.utterances, options.vectors)), options.rounds)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    ratios = {
        name: statistics.median(way / plain for way, plain in zip(seconds, times[PLAIN], strict=True))
        for name, seconds in times.items()
    }
    for name, seconds in medians.items():
        print(f"{name:24} {1000 * seconds:8.2f} ms a batch   {ratios[name]:6.2f} times a plain backward pass")
    result = {
        "options": vars(options),
        "environment": describe_environment("cpu", ["opacus"]).model_dump(mode="json"),
        "milliseconds a batch": {name: round(1000 * seconds, 3) for name, seconds in medians.items()},
        "over a plain backward pass": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _make_up_batch(utterances: int, vectors: int) -> tuple[Batch, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(utterances, vectors, DIMENSION, generator=random)
    labels = torch.randint(1, OUTPUTS, (utterances, CHARACTERS), generator=random)
    return {"features": features, "attention_mask": torch.ones(utterances, vectors, dtype=torch.long)}, labels


def _list_ways(batch: Batch, labels: torch.Tensor) -> dict[str, Callable[[], object]]:
    plain = FrameHead(DIMENSION, OUTPUTS, row_norm=True)

    def pass_backward() -> None:
        plain.zero_grad()
        CTC.mean_loss(plain(batch), labels).backward()

    ways: dict[str, Callable[[], object]] = {PLAIN: pass_backward}
    for engine in (ClosedForm, Hooks, OneByOne):
        gradients = engine(FrameHead(DIMENSION, OUTPUTS, row_norm=True), CTC)
        ways[engine.name] = partial(gradients.example_gradients, batch, labels)
    return ways


def _time_in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the processor's seconds of each way in each round; one round before them is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            start = time.process_time()
            run()
            if number:
                times[name].append(time.process_time() - start)
    return times


if __name__ == "__main__":
    main()
