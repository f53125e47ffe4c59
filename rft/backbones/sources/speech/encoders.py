"""Speech encoders, run on clips of their own lengths, so that a clip's features do not depend on those beside it.

Whisper was trained on windows of 30 s, filled with silence. Its encoder needs no such window: without it a clip of one
second costs a thirtieth, and a mask keeps what is padded out of every sum (Radford et al. 2023, "Robust Speech
Recognition via Large-Scale Weak Supervision", section 2.2, describes the encoder).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import pool_tokens
from rft.backbones.partition.frozen_part import by_length

Layer = int | str  # the number of a layer, or ``mean``


class SpeechBackbone(nn.Module):
    """Clips in, features out: hidden states of an encoder, averaged over the frames that are speech and not padding.

    Attributes:
        network: an encoder of transformers.
        layer: whose hidden states, as transformers counts them: None for what leaves the encoder; a number from 0, what
            enters the first of L layers, to L, what leaves the last of them; or ``mean`` over these L + 1.
        one_length_at_a_time: whether padding would change a clip's features whatever the mask says, so that the clips
            of a batch run in parts of equal lengths.
        keeps_time: whether the hidden states of every moment are the features, for a recogniser; otherwise their mean.
    """

    def __init__(self, network: nn.Module, layer: Layer | None) -> None:
        super().__init__()
        self.network, self.layer = network, layer
        self.one_length_at_a_time = self.keeps_time = False

    def forward(self, inputs: Batch) -> Tensor:
        """Map a batch of clips to (B, D) features, or (B, T', D) where time is kept, as far as ``mask_vectors`` says.

        Args:
            inputs: ``waveform`` (B, T) samples or ``spectrum`` (B, T, F) frames, whichever the network takes, and
                ``attention_mask`` (B, T), 1 for what is not padding.
        """
        if not self.one_length_at_a_time:
            return self._pool_clips(inputs)
        parts = [(rows, self._pool_clips(part)) for rows, part in by_length(inputs)]
        order = torch.cat([rows for rows, _ in parts]).argsort()
        clips = [features for _, part in parts for features in part]
        return nn.utils.rnn.pad_sequence(clips, batch_first=True)[order]

    def mask_vectors(self, inputs: Batch) -> Tensor:
        """Return the (B, T') mask of the vectors that the network makes of a batch as ``forward`` takes it."""
        mask = inputs["attention_mask"]
        if is_whisper_encoder(self.network):
            return mask[:, ::2]
        if not takes_waveforms(self.network):
            return mask
        vectors = int(count_vectors(self.network, torch.tensor(mask.shape[1])))
        counts = count_vectors(self.network, mask.sum(dim=1))
        return (torch.arange(vectors, device=mask.device)[None] < counts[:, None]).to(mask.dtype)

    def blank_inputs(self, mask: Tensor) -> Batch:
        """Return silence, as ``forward`` takes it, of which the network makes vectors with this (B, T') mask."""
        counts = torch.cat([mask.sum(dim=1), mask.new_tensor([mask.shape[1]])])
        config: Any = self.network.config
        if takes_waveforms(self.network):
            *lengths, longest = count_fewest_samples(self.network, counts).tolist()
            name, width = "waveform", []
        else:
            *lengths, longest = (2 * counts if is_whisper_encoder(self.network) else counts).tolist()
            bands = config.num_mel_bins if is_whisper_encoder(self.network) else config.feature_projection_input_dim
            name, width = "spectrum", [bands]
        samples = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
        silence = torch.zeros(len(mask), longest, *width, device=mask.device)
        return {name: silence, "attention_mask": samples.long().to(mask.device)}

    def make_up_inputs(self, counts: Tensor, random: torch.Generator) -> Batch:
        """Return noise, as ``forward`` takes it, of which the network makes (B,) ``counts`` of vectors."""
        vectors = (torch.arange(int(counts.max()))[None] < counts[:, None]).long()
        blank = self.blank_inputs(vectors)
        mask = blank.pop("attention_mask")
        ((name, silence),) = blank.items()
        noise = torch.randn(silence.shape, generator=random)
        return {name: noise * mask.view(*mask.shape, *[1] * (silence.dim() - 2)), "attention_mask": mask}

    def _pool_clips(self, inputs: Batch) -> Tensor:
        mask = self.mask_vectors(inputs)
        if is_whisper_encoder(self.network):
            states = encode_whisper(self.network, inputs["spectrum"], inputs["attention_mask"])
        else:
            network: Any = self.network
            name = {"waveform": "input_values", "spectrum": "input_features"}
            taken = {name.get(key, key): tensor for key, tensor in inputs.items()}
            output = network(**taken, output_hidden_states=self.layer is not None)
            states = [output.last_hidden_state] if self.layer is None else list(output.hidden_states)
        chosen = self._choose_states(states)
        return chosen if self.keeps_time else pool_tokens(chosen, mask, "mean")

    def _choose_states(self, states: list[Tensor]) -> Tensor:
        """Return what ``layer`` says of (B, T', D) hidden states, of which the last one may stand alone."""
        if self.layer == "mean":
            return torch.stack(states).mean(dim=0)
        return states[-1 if self.layer is None else int(self.layer)]


def count_layers(network: nn.Module) -> int:
    """Return L, the number of layers of an encoder."""
    config: Any = network.config
    return int(config.encoder_layers if is_whisper_encoder(network) else config.num_hidden_layers)


def is_whisper_encoder(network: nn.Module) -> bool:
    """Tell whether a network is the encoder of Whisper, which is run by its parts."""
    return type(network).__name__ == "WhisperEncoder"


def takes_waveforms(network: nn.Module) -> bool:
    """Tell whether a network takes the samples themselves, through convolutions that its config describes."""
    return hasattr(network.config, "conv_kernel")


def encode_whisper(encoder: Any, spectrum: Tensor, mask: Tensor) -> list[Tensor]:
    """Run Whisper's encoder on clips of their own lengths.

    Args:
        encoder: ``WhisperEncoder`` of transformers.
        spectrum: (B, T, F) log-mel frames, zero where they are padding.
        mask: (B, T), 1 for frames that are not padding.

    Returns:
        The L + 1 hidden states, (B, T', D) each with T' = ceil(T / 2), as ``SpeechBackbone`` counts them: the last is
        normalised.
    """
    convolved = nn.functional.gelu(encoder.conv1(spectrum.transpose(1, 2)))
    # Alone, a clip ends in the zeros that the second convolution adds; in a batch, its padding must be as much.
    convolved = nn.functional.gelu(encoder.conv2(convolved * mask[:, None].to(convolved.dtype)))
    hidden = convolved.transpose(1, 2) + encoder.embed_positions.weight[: convolved.shape[2]]
    attended = torch.zeros_like(mask[:, ::2], dtype=hidden.dtype)
    attended = attended.masked_fill(mask[:, ::2] == 0, torch.finfo(hidden.dtype).min)[:, None, None, :]
    states = [hidden]
    for layer in encoder.layers:
        output = layer(states[-1], attended.expand(-1, 1, hidden.shape[1], -1))
        states.append(output[0] if isinstance(output, tuple) else output)
    return [*states[:-1], encoder.layer_norm(states[-1])]


def count_vectors(network: nn.Module, samples: Tensor) -> Tensor:
    """Return how many vectors come out of (...,) numbers of samples, by the convolutions of the config."""
    config: Any = network.config
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = torch.div(samples - kernel, stride, rounding_mode="floor") + 1
    return samples


def count_fewest_samples(network: nn.Module, vectors: Tensor) -> Tensor:
    """Return the smallest numbers of samples of which ``count_vectors`` makes (...,) numbers of vectors."""
    config: Any = network.config
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        vectors = (vectors - 1) * stride + kernel
    return vectors
