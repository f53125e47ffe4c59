"""Copies of a network with random weights: the parameter randomisation of Adebayo et al. 2018, NeurIPS.

An attribution that depends on what the network has learned must be another for such a copy. The audited network itself
is not touched.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from rft.errors import Unavailable
from rft.plugins.attribution.network import Network

if TYPE_CHECKING:
    from rft.backbones.batch import Batch

RANDOM_NETWORKS = 2
CALIBRATING = 8  # examples whose activations a random network is normalised with
_SHUFFLED = 100_000  # entries of a parameter that is permuted anew for each copy

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def randomize_network(network: Network, inputs: Batch, rng: np.random.Generator) -> Network:
    """Return a copy of the network in which the entries of each parameter stand in random order.

    Their sizes stay those of a trained network. Batch normalisation, where there is any, gets the mean and variance of
    the copy's own activations on the ``inputs`` of a few examples: with those of the trained network they would vanish
    or overflow.

    Raises:
        Unavailable: when the copy's logits are the network's.
    """
    model = copy.deepcopy(network.model)
    with torch.no_grad():
        for parameter in model.parameters():
            order = torch.from_numpy(rng.permutation(parameter.numel())).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    random_network = Network(model, network.device)
    _normalize_activations(random_network, inputs)
    first = {name: tensor[:1] for name, tensor in inputs.items()}
    if torch.equal(random_network.logits(first), network.logits(first)):
        raise Unavailable("randomising the parameters changes no logit")
    return random_network


def redraw_parameters(random_network: Network, inputs: Batch, rng: np.random.Generator) -> None:
    """Put the parameters of a random copy in another random order, in place, and normalise it as at first.

    A parameter with more than ``_SHUFFLED`` entries stands in random order already: its entries move along by a random
    number of places, round the end, which meets other inputs and outputs each time. To permute millions takes seconds.
    """
    with torch.no_grad():
        for parameter in random_network.model.parameters():
            count = parameter.numel()
            if count > _SHUFFLED:
                parameter.copy_(parameter.flatten().roll(int(rng.integers(count))).view_as(parameter))
            else:
                order = torch.from_numpy(rng.permutation(count)).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    _normalize_activations(random_network, inputs)


def _normalize_activations(network: Network, inputs: Batch) -> None:
    """Set the statistics of batch normalisation to those of one batch, layer after layer in one pass."""
    norms = [module for module in network.model.modules() if isinstance(module, _NORMS) and module.track_running_stats]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms and len(next(iter(inputs.values()))) > 1:
        with torch.no_grad():
            network.model({name: network.place(tensor) for name, tensor in inputs.items()})
    for norm in norms:
        norm.eval()
