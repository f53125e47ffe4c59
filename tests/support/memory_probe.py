"""A process whose peak memory a test measures: python memory_probe.py KIND FOLDER MEGABYTES; 0 megabytes: no limit.

The limit is what the process holds before extraction and these megabytes. It prints, as JSON, what it held before, the
limit, the peak as the system counts it, the largest batch, and the sum of absolute features.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from rft.backbones.sources.speech.encoders import SpeechBackbone
from rft.data.audio.inputs import AudioInputs
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.audio.spectrum import SpectrumExtractor
from rft.data.images.inputs import ImageInputs
from rft.data.images.preprocessing import plain_preprocessing
from rft.features import Store
from rft.features.extract import extract_features
from rft.runtime import memory
from rft.runtime.allocator import keep_freed_memory
from tests.support.audio_cases import encode_sound, make_tone
from tests.support.features_cases import split_of

Batch = dict[str, Tensor]


class Recording(nn.Module):
    """Remembers how large its batches are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.sizes = network.eval().requires_grad_(False), [0]

    def forward(self, batch: Batch) -> Batch:
        self.sizes.append(len(next(iter(batch.values()))))
        if "pixels" in batch:
            return {"features": self.network(batch["pixels"])}
        if "spectrum" in batch:
            return {"features": self.network(batch)}
        return {"features": self.network(**batch).last_hidden_state, "attention_mask": batch["attention_mask"]}


class Words:
    """An item is a length and a number; its tokens are all that number."""

    def lengths(self, items: list[tuple[int, int]]) -> np.ndarray:
        return np.array([length for length, _ in items])

    def batches(self, items: list[tuple[int, int]], batches: list[np.ndarray]):
        for rows in batches:
            longest = max(items[row][0] for row in rows)
            mask = torch.tensor([[1] * items[row][0] + [0] * (longest - items[row][0]) for row in rows])
            yield {"input_ids": mask * torch.tensor([[items[row][1]] for row in rows]), "attention_mask": mask}


def write_photos(folder: Path, architecture: str, n: int) -> tuple[nn.Module, ImageInputs, list[Path]]:
    """Return a network with random weights and JPEG files for it."""
    from torchvision import models

    rng, items = np.random.default_rng(0), []
    for number in range(n):
        items.append(folder / f"{number}.jpg")
        coarse = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((640, 480)).save(items[-1])
    preprocessing = plain_preprocessing(256, 224, "bilinear", (0.5,) * 3, (0.5,) * 3)
    return getattr(models, architecture)(num_classes=16), ImageInputs({}, preprocessing, 10**7), items


def make_comments(n: int) -> tuple[nn.Module, Words, list[tuple[int, int]]]:
    """Return a small BERT with random weights and texts of 16 to 512 tokens."""
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8192}
    rng = np.random.default_rng(0)
    items = [(int(rng.integers(16, 513)), number % 900 + 1) for number in range(n)]
    return BertModel(BertConfig(vocab_size=1000, **sizes)), Words(), items


def write_clips(folder: Path, n: int) -> tuple[nn.Module, AudioInputs, list[Path]]:
    """Return a small encoder of Whisper's kind with random weights and recordings of .5 to 20 s for it."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    sizes = {"d_model": 64, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 8192}
    network = WhisperModel(WhisperConfig(**sizes, decoder_layers=1, decoder_attention_heads=2)).get_encoder()
    rng, items = np.random.default_rng(0), []
    for number in range(n):
        items.append(folder / f"{number}.wav")
        items[-1].write_bytes(encode_sound(make_tone(rng.uniform(0.5, 20), hertz=rng.uniform(100, 2000))))
    extractor = SpectrumExtractor(WhisperFeatureExtractor())
    preprocessing = AudioPreprocessing(16_000, extractor=extractor, samples_per_token=320)
    return SpeechBackbone(network, None), AudioInputs({}, preprocessing, 60.0), items


def main(kind: str, folder: Path, megabytes: int) -> None:
    keep_freed_memory()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    if kind == "text":
        network, inputs, items = make_comments(100)
    elif kind == "speech":
        network, inputs, items = write_clips(folder, 100)
    else:
        network, inputs, items = write_photos(folder, kind, 120)
    before = memory.resident_bytes()
    limit = before + megabytes * 10**6
    prefix = Recording(network)
    store = Store(folder / f"cache {megabytes}", "k")
    bound = limit if megabytes else None
    features = extract_features(prefix, inputs, split_of(items), store, device="cpu", precision="float32", memory=bound)
    peak = memory.peak_bytes()  # and not ru_maxrss, which counts what the parent held before it became this process
    total = sum(float(features.batch([row])["features"].double().abs().sum()) for row in range(len(features)))
    print(json.dumps({"before": before, "limit": limit, "peak": peak, "largest": max(prefix.sizes), "sum": total}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
