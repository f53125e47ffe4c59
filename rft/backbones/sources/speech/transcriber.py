"""What transcribes speech: recordings in, what was said out. Each kind of network has a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rft.data.audio.preprocessing import AudioPreprocessing


@dataclass(frozen=True)
class Transcript:
    """What a model wrote of a recording.

    Attributes:
        text: without special tokens, and without blanks around it.
        windows: that the recording was decoded in, one after the other.
        cut: of these, how many texts ended where the model can write no more, and not where it said that it was done.
    """

    text: str
    windows: int = 1
    cut: int = 0


class Transcriber(Protocol):
    """A network that was trained to write what it hears."""

    @property
    def network(self) -> Any:
        """The network, of transformers, in eval mode."""

    @property
    def preprocessing(self) -> AudioPreprocessing:
        """How recordings are prepared for it."""

    @property
    def batch_size(self) -> int:
        """Recordings that are run at once."""

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """Return what was said in each of B clips, (T,) samples each at the rate of the network.

        What stands beside a clip changes nothing of its text. Raises ``ModelError`` where the network cannot decode.
        """
