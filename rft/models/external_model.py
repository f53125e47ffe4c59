"""What a checkpoint or a factory gives before anything about it is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.data import Preprocessing

# Of several lengths, for trying models on.
TEXTS = ("One example.", "Another example, which is longer than the first.", "A third one, of a length between.")


class CallAdapter(nn.Module):
    """A network with the way it is called.

    Args:
        network: the model itself.
        call: runs it on a batch of inputs and returns (B, K) outputs.
    """

    def __init__(self, network: nn.Module, call: Callable[[nn.Module, Batch], Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, inputs: Batch) -> Tensor:
        """Map a batch of inputs to (B, K) outputs."""
        return self.call(self.network, inputs)


@dataclass(frozen=True)
class ExternalModel:
    """A model that others trained.

    Attributes:
        network: a batch of inputs in, (B, K) outputs out, whatever they mean.
        labels: what each output stands for, in their order.
        preprocessing: how items become its inputs.
        example: three inputs, to try the model on; texts differ in length.
        where: the key of audit.toml that named it, for errors.
        revision: the commit of the hub that it is of; None for one from elsewhere.
    """

    network: nn.Module
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    example: Batch
    where: str
    revision: str | None = None
