# SPDX-License-Identifier: Apache-2.0
"""Records NumPy's random streams and quantiles for NumPyGeneratorTests and QuantileTests.

    python3 Tests/LinearAlgebraTests/Goldens/make_numpy_streams.py > Tests/LinearAlgebraTests/Goldens/numpy_streams.json

Words of 64 bits are written as hexadecimal strings: bit patterns of doubles, or integers modulo 2^64.
A hash is FNV-1a of 64 bits over the little-endian bytes of all words of the stream.
"""

import json
import platform
import sys

import numpy as np

SEEDS = [0, 1, 11, 12, 13, 2**32 - 1, 2**32, 2**63 + 5, 2**64 - 1]
BOUNDS = [1, 2, 10, 2**32 - 2, 2**32 - 1, 2**32, 2**32 + 1, 2**40 + 7, 3 * 2**61, 2**63 - 1]
# Below the first, half of the candidates are rejected, which is where Lemire's threshold matters.
REJECTING = [2**31 + 1, 2**62 + 1]
RANGES = [(-5, 5), (-(2**63), 2**63 - 1), (-(2**31), 2**31), (7, 8)]
NORMALS = 100_000


def words(values):
    values = np.atleast_1d(values)
    kind = np.float64 if values.dtype == np.float64 else np.int64
    return values.astype(kind).view(np.uint64)


def hexes(values):
    return [f"{int(w):016x}" for w in words(values)]


def fnv(values):
    h = 0xCBF29CE484222325
    for byte in words(values).astype("<u8").tobytes():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return f"{h:016x}"


def stream(values, shown=4):
    return {"count": len(values), "first": hexes(values[:shown]), "hash": fnv(values)}


def mixed(seed, rounds=50):
    """Buffered halves left by integers() must survive random() and standard_normal()."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(rounds):
        out += hexes(rng.integers(10)) + hexes(rng.random()) + hexes(rng.integers(10))
        out += hexes(rng.standard_normal()) + hexes(rng.integers(3 + i)) + hexes(rng.integers(2**40))
        out += hexes(rng.uniform(0.5, 1.5)) + hexes(rng.integers(1)) + hexes(rng.integers(2**32))
    return np.array([int(w, 16) for w in out], dtype=np.uint64).view(np.int64)


def trace_regression(seed, n=3, matrices=10, steps=300):
    """The draws of the authors' trace-regression script, in its order."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(matrices):
        out += hexes(rng.standard_normal((n, n)).ravel()) + hexes(rng.uniform(0.5, 1.5, n))
    out += hexes(rng.standard_normal((n, n)).ravel()) + hexes(rng.standard_normal(matrices))
    for _ in range(steps):
        for _ in range(10):
            out += hexes(rng.integers(matrices))
        out += hexes(rng.integers(matrices))
    return np.array([int(w, 16) for w in out], dtype=np.uint64).view(np.int64)


def of_seed(seed):
    new = lambda: np.random.default_rng(seed)
    state = new().bit_generator.state["state"]
    return {
        "seed": f"{seed:016x}",
        "pool": [f"{w:08x}" for w in np.random.SeedSequence(seed).pool],
        "state": f"{state['state']:032x}",
        "increment": f"{state['inc']:032x}",
        "random": stream(new().random(1000), 20),
        "standard_normal": stream(new().standard_normal(NORMALS), 20),
        "uniform": stream(new().uniform(0.5, 1.5, 1000)),
        "integers": [
            {"low": f"{lo % 2**64:016x}", "high": f"{hi % 2**64:016x}", **stream(new().integers(lo, hi, 1000))}
            for lo, hi in [(0, b) for b in BOUNDS + REJECTING] + RANGES
        ],
        "mixed": stream(mixed(seed)),
        "trace_regression": stream(trace_regression(seed)),
    }


def quantiles():
    rng = np.random.default_rng(2026)
    out = []
    for n in [1, 2, 3, 4, 5, 7, 10, 99, 100, 101]:
        x = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4)
        qs = [0.0, 0.025, 0.1, 0.25, 1 / 3, 0.5, 0.6, 0.75, 0.85, 0.9, 0.975, 1.0]
        out.append(
            {
                "values": hexes(x),
                "q": hexes(np.array(qs)),
                "interpolated": hexes(np.quantile(x, qs)),
                "lower": hexes(np.array([np.sort(x)[int(q * (n - 1))] for q in qs])),
            }
        )
    return out


json.dump(
    {
        "versions": {"numpy": np.__version__, "python": platform.python_version()},
        "seeds": [of_seed(s) for s in SEEDS],
        "quantiles": quantiles(),
    },
    sys.stdout,
    indent=1,
)
print(f"numpy {np.__version__}, python {platform.python_version()}", file=sys.stderr)
