"""A linear probe: ridge regression on the classes, which has a closed form and so leaves nothing to be trained longer.

Source: Alain and Bengio 2016, arXiv:1610.01644; Kornblith et al. 2019, CVPR; Golub, Heath and Wahba 1979,
Technometrics, on the choice of the penalty.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import RidgeClassifierCV

PENALTIES = np.logspace(-4, 3, 8)  # of features whose rows have length 1 on average


def new_linear_probe() -> RidgeClassifierCV:
    """Return a probe that is not fitted yet.

    The penalty is the one with the smallest leave-one-out error on the examples of the fit, which has a closed form. A
    fixed one would favour some networks: features of random weights want less of it than pretrained ones.
    """
    return RidgeClassifierCV(alphas=PENALTIES)


def measure_scale(features: np.ndarray) -> float:
    """Return what (N, D) features are divided by before they are probed; 1 where they are all the same.

    All columns are divided by one number and not each by its own spread, which would blow up the features of a network
    that are almost always zero.
    """
    spread = float(features.std(dtype=np.float64)) * features.shape[1] ** 0.5
    return spread if spread > 0 else 1.0
