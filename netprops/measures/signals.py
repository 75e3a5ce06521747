"""Which signal vectors the first layer of a network has learnt.

Words: w (n, d) are the first weights of n neurons, v (K, d) orthonormal signal vectors; a neuron is *active*
for v_k where |w·v_k| exceeds the threshold b of its pre-activation, and its *correlation* with v_k is
|w·v_k| / |w|. A signal is *learnt* where an active neuron's correlation exceeds a constant.

Source: "How does overparameterization affect features?", section 4, equation 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signals:
    """What neurons know of signal vectors.

    Args:
        correlation: (K,) largest correlation of an active neuron with each signal; 0 where none is active.
        active: (K,) number of neurons that are active for each signal.
    """

    correlation: Floats
    active: NDArray[np.int64]

    def learnt(self, above: float) -> NDArray[np.bool_]:
        """Return which signals are learnt, (K,)."""
        return self.correlation > above


def signals_of(weights: ArrayLike, signals: ArrayLike, threshold: float) -> Signals:
    """Return which signals the neurons of one or of several first layers know.

    Args:
        weights: (n, d) first weights; of several networks side by side, one below the other.
        signals: (K, d) with orthonormal rows.
        threshold: b, not negative.

    Raises:
        MeasurementError: If the shapes do not fit, the signals are not orthonormal or a number is not finite.
    """
    w, v = np.asarray(weights, dtype=np.float64), np.asarray(signals, dtype=np.float64)
    if w.ndim != 2 or v.ndim != 2 or w.shape[1:] != v.shape[1:] or not len(w):
        raise MeasurementError(f"signals of shape {v.shape} cannot be looked for in weights of {w.shape}")
    if not (np.isfinite(w).all() and np.isfinite(v).all()):
        raise MeasurementError("a weight or a signal vector is not a finite number")
    if not np.allclose(v @ v.T, np.eye(len(v)), atol=1e-6):
        raise MeasurementError("the signal vectors are not orthonormal")
    reached = np.abs(w @ v.T)
    active = reached > max(threshold, 0.0)
    length = np.linalg.norm(w, axis=1)[:, None]
    correlation = np.divide(reached, length, out=np.zeros_like(reached), where=active)
    return Signals(correlation=correlation.max(axis=0), active=active.sum(axis=0))
