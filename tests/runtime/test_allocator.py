"""glibc keeps freed memory when asked to, and nothing else changes."""

import ctypes
import json
import platform
import subprocess
import sys

import pytest

from rft.runtime import allocator

MB = 10**6
PROBE = """
import hashlib, json, sys, torch
from rft.runtime import allocator
from rft.runtime import memory
kept = allocator.keep_freed_memory() if sys.argv[1] == "keep" else None
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), torch.nn.ReLU(), torch.nn.Conv2d(64, 64, 3)).eval()
with torch.no_grad():
    digest = hashlib.sha256(network(torch.rand(8, 3, 160, 160)).numpy().tobytes()).hexdigest()
memory.release_freed_memory()
before = memory.resident_bytes()
torch.ones(50_000_000).sum()
after = memory.resident_bytes()
memory.release_freed_memory()
print(json.dumps({"kept": kept, "digest": digest, "left": after - before, "trimmed": memory.resident_bytes() - before}))
"""


def probe_allocator(mode: str) -> dict:
    done = subprocess.run([sys.executable, "-c", PROBE, mode], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone gives memory back at once")
def test_freed_memory_is_kept_until_it_is_trimmed_and_outputs_stay_the_same_to_the_bit() -> None:
    usual, kept = probe_allocator("usual"), probe_allocator("keep")
    assert kept["kept"] is True
    assert kept["digest"] == usual["digest"]
    assert usual["left"] < 20 * MB
    assert kept["left"] > 180 * MB  # of 200
    assert kept["trimmed"] < 20 * MB


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("looked for a library"))
    assert allocator.keep_freed_memory.__wrapped__() is False
