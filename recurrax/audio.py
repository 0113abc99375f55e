"""Sound as a sequence of vectors: log-mel features, the usual input of a speech recogniser.

`log_mel` makes a frame every 10 ms, and `stack_frames` joins several frames into one step to shorten the sequence:
``inputs = stack_frames(log_mel(samples, rate=8000), 3)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import get_window


def log_mel(
    signal: Any,
    rate: float,
    mels: int = 40,
    *,
    window: float = 0.025,
    hop: float = 0.010,
    low: float = 0.0,
    high: float | None = None,
    floor: float = 1e-10,
) -> np.ndarray:
    r"""Log-mel features of a signal ``[..., N]``, float32 ``[..., T, M]``.

    .. math::
        P_{tk} = \frac{1}{\sum_n w_n^2} \Bigl| \sum_n w_n s_{t h + n} e^{-2 \pi i k n / K} \Bigr|^2, \qquad
        y_{tm} = \ln \max\Bigl(\sum_k B_{mk} P_{tk}, \; \text{floor}\Bigr)

    w is the Hann window of W samples, h the hop in samples, K the smallest power of 2 that is at least W, and B the
    triangles of `mel_filters`. Every frame lies inside the signal: ``T = 1 + (N - W) // h``.

    Args:
        signal: samples; integers are divided by the largest value of their dtype, so that they lie in [-1, 1].
        rate: samples per second.
        mels: M, the number of triangles.
        window: length of a frame in seconds.
        hop: time from one frame to the next, in seconds.
        low, high: range of the triangles in Hz; ``high=None`` is half of the rate.
        floor: the least energy, so that silence has a finite logarithm.

    Raises:
        ValueError: the signal is shorter than a frame or not finite, or a number is out of range.

    Source: Davis & Mermelstein (1980); frames and filters as in HTK (Young et al., 2006).
    """
    signal = np.asarray(signal)
    scale = np.iinfo(signal.dtype).max if np.issubdtype(signal.dtype, np.integer) else 1
    signal = signal.astype(np.float64) / scale
    size, step = round(window * rate), round(hop * rate)
    if size < 2 or step < 1:
        raise ValueError(
            f"window={window} and hop={hop} are {size} and {step} samples at rate={rate}; allowed: a window of 2 or "
            "more and a hop of 1 or more. Both are in seconds, the rate is in samples a second."
        )
    if signal.ndim == 0 or signal.shape[-1] < size:
        raise ValueError(
            f"the signal has shape {signal.shape}; allowed: [..., N] with N >= {size}, a frame of {window} s at "
            f"rate={rate}. Pad it with zeros, or take a shorter window."
        )
    if not np.isfinite(signal).all():
        raise ValueError("the signal has samples that are not finite; allowed: finite ones. Replace them before.")
    if floor <= 0:
        raise ValueError(f"floor={floor}; allowed: a positive number, whose logarithm is finite. Try floor=1e-10.")
    taper = get_window("hann", size)
    points = 1 << (size - 1).bit_length()
    bank = mel_filters(rate, points, mels, low, high)
    frames = sliding_window_view(signal, size, axis=-1)[..., ::step, :]
    power = np.abs(np.fft.rfft(frames * taper, points)) ** 2 / np.sum(taper**2)  # type: ignore
    return np.log(np.maximum(power @ bank.T, floor)).astype(np.float32)


def mel_filters(rate: float, points: int, mels: int = 40, low: float = 0.0, high: float | None = None) -> np.ndarray:
    r"""Triangular filters of height 1 and equal width on HTK's mel scale, ``[M, points // 2 + 1]``.

    .. math:: \mathrm{mel}(f) = 2595 \log_{10}(1 + f / 700)

    The centres are equally spaced in mel between ``low`` and ``high``. Each triangle ends at the two neighbouring
    centres, and its sides are straight lines in Hz.

    Args:
        rate: samples per second.
        points: size of the Fourier transform.
        mels: M, the number of triangles.
        low, high: range in Hz; ``high=None`` is half of the rate.

    Raises:
        ValueError: the range is empty or above half of the rate, or a triangle is so narrow that it holds no frequency.

    Source: Young et al. (2006), "The HTK book", equation 5.13.
    """
    high = rate / 2 if high is None else high
    if mels < 1 or not 0 <= low < high <= rate / 2:
        raise ValueError(
            f"mels={mels} from low={low} to high={high} Hz at rate={rate}; allowed: mels >= 1 and 0 <= low < high <= "
            f"{rate / 2:g}, half of the rate. Leave high out to have that."
        )
    edges = hertz(np.linspace(mel(low), mel(high), mels + 2))
    frequencies = np.arange(points // 2 + 1) * rate / points
    left, centre, right = (edges[first : first + mels, None] for first in range(3))
    bank = np.maximum(0, np.minimum((frequencies - left) / (centre - left), (right - frequencies) / (right - centre)))
    if (empty := np.flatnonzero(bank.sum(axis=1) == 0)).size:
        raise ValueError(
            f"{len(empty)} of {mels} triangles hold no frequency, the first of them at "
            f"{float(edges[empty[0] + 1]):.0f} Hz; allowed: triangles wider than {rate / points:.0f} Hz. Take fewer "
            "mels or a longer window."
        )
    return bank


def mel(frequency: Any) -> Any:
    """Converts Hz to mel, 2595 log10(1 + f / 700)."""
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)


def hertz(mels: Any) -> Any:
    """Converts mel to Hz, the inverse of `mel`."""
    return 700 * (10 ** (np.asarray(mels) / 2595) - 1)


def stack_frames(frames: np.ndarray, count: int) -> np.ndarray:
    """Joins ``count`` successive frames into one step: ``[T, D]`` to ``[T // count, count D]``; drops the rest.

    The shorter sequence takes less time to read, and information must be remembered over fewer steps.

    Raises:
        ValueError: the count is below 1 or above the number of frames.

    Source: Sak et al. (2015), "Fast and accurate recurrent neural network acoustic models".
    """
    if not 1 <= count <= len(frames):
        raise ValueError(f"count={count} for {len(frames)} frames; allowed: from 1 to {len(frames)}. Try count=1.")
    steps = len(frames) // count
    return frames[: steps * count].reshape(steps, -1)
