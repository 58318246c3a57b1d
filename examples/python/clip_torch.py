#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Spectral clipping in a PyTorch training loop, in the place of torch.nn.utils.clip_grad_norm_, by ctypes.

Needs a CPU build of PyTorch and libspectralclip (`make install PREFIX=...`, or SPECTRALCLIP=path/to/libspectralclip.so):
    python3 examples/python/clip_torch.py [--steps 200]
"""
import argparse, ctypes, ctypes.util, os

import torch

double, int64 = ctypes.c_double, ctypes.c_int64


class Report(ctypes.Structure):
    _fields_ = [(name, double) for name in ("sigma_max", "tau", "norm_before", "norm_after")] + [
        (name, int64) for name in ("clipped", "remaining", "values")
    ]


class Options(ctypes.Structure):
    _fields_ = [
        ("rank", int64), ("oversampling", int64), ("power_iterations", int64), ("seed", ctypes.c_uint64), ("threads", int64),
    ]


class Matrix(ctypes.Structure):
    _fields_ = [("entries", ctypes.c_void_p), ("rows", int64), ("columns", int64), ("row_stride", int64)]


def load():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".build", "release", "libspectralclip.so")
    name = os.environ.get("SPECTRALCLIP") or (here if os.path.exists(here) else ctypes.util.find_library("spectralclip"))
    library = ctypes.CDLL(name or "libspectralclip.so")
    library.spectralclip_message.restype = ctypes.c_char_p
    options, clipper, size = ctypes.POINTER(Options), ctypes.POINTER(int64), ctypes.POINTER(ctypes.c_size_t)
    library.spectralclip_create_constant.argtypes = [int64, double, options, clipper]
    library.spectralclip_create_ema.argtypes = [int64, double, options, clipper]
    library.spectralclip_create_quantile.argtypes = [int64, double, int64, options, clipper]
    for name in ("float", "double"):
        step = getattr(library, "spectralclip_step_" + name)
        step.argtypes = [int64, ctypes.POINTER(Matrix), int64, ctypes.POINTER(Report)]
    library.spectralclip_save.argtypes = [int64, ctypes.c_void_p, size]
    library.spectralclip_restore.argtypes = [int64, ctypes.c_char_p, ctypes.c_size_t]
    library.spectralclip_destroy.argtypes = [int64]
    return library


class SpectralClip:
    """Clips the gradients of all matrices and kernels among `parameters`, [d0, rest] each, at a threshold of their own.

    One of: tau=0.5 (constant), coefficient=0.9 (moving average), level=0.85 with window=100 (quantile).
    """

    def __init__(self, parameters, *, tau=None, coefficient=None, level=None, window=100, rank=0, seed=0, threads=1):
        self.library, self.handle = load(), int64(0)
        self.parameters = [p for p in parameters if p.requires_grad and p.dim() >= 2]
        kinds = {p.dtype for p in self.parameters}
        if len(kinds) != 1 or not kinds <= {torch.float32, torch.float64}:
            raise ValueError("parameters of one precision, float32 or float64, are clipped together")
        self.name = "float" if kinds == {torch.float32} else "double"
        options = Options(rank, 5, 1, seed, threads)
        count, out = len(self.parameters), ctypes.byref(self.handle)
        if tau is not None:
            self._check(self.library.spectralclip_create_constant(count, tau, options, out))
        elif coefficient is not None:
            self._check(self.library.spectralclip_create_ema(count, coefficient, options, out))
        else:
            level = 0.85 if level is None else level
            self._check(self.library.spectralclip_create_quantile(count, level, window, options, out))

    def __del__(self):
        if getattr(self, "handle", None):
            self.library.spectralclip_destroy(self.handle)

    def _check(self, status):
        if status:
            raise RuntimeError("libspectralclip: " + self.library.spectralclip_message(status).decode())

    def clip_(self):
        """Clips every gradient in place and returns one report a layer; call it between backward() and step()."""
        count = len(self.parameters)
        layers, reports, kept = (Matrix * count)(), (Report * count)(), []
        for layer, parameter in zip(layers, self.parameters):
            gradient = parameter.grad
            if gradient is None or gradient.device.type != "cpu":
                raise ValueError("every matrix needs a gradient on the CPU")
            if not gradient.is_contiguous():
                gradient = parameter.grad = gradient.contiguous()
            kept.append(gradient)
            rows = gradient.shape[0]
            columns = gradient.numel() // max(1, rows)
            layer.entries, layer.rows, layer.columns, layer.row_stride = gradient.data_ptr(), rows, columns, columns
        self._check(getattr(self.library, "spectralclip_step_" + self.name)(self.handle, layers, count, reports))
        return list(reports)

    def state_dict(self):
        """The thresholds' state, bytes."""
        size = ctypes.c_size_t(0)
        self._check(self.library.spectralclip_save(self.handle, None, ctypes.byref(size)))
        state = ctypes.create_string_buffer(size.value)
        self._check(self.library.spectralclip_save(self.handle, state, ctypes.byref(size)))
        return {"state": state.raw}

    def load_state_dict(self, saved):
        self._check(self.library.spectralclip_restore(self.handle, saved["state"], len(saved["state"])))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.Tanh(), torch.nn.Linear(64, 8))
    teacher = torch.nn.Linear(32, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    clipper = SpectralClip(model.parameters(), level=0.85)
    clipped = 0
    for step in range(steps):
        x = torch.randn(64, 32)
        with torch.no_grad():
            y = teacher(x)
            if step % 10 == 9:
                y += 50 * torch.randn_like(y)  # a bad batch
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        # before: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        clipped += sum(report.clipped for report in clipper.clip_())
        optimizer.step()
        if step == steps // 2:  # a checkpoint carries the thresholds
            clipper.load_state_dict(clipper.state_dict())
    with torch.no_grad():
        x = torch.randn(1000, 32)
        print(f"loss on clean data {torch.nn.functional.mse_loss(model(x), teacher(x)):.4f}, {clipped} singular values clipped")


if __name__ == "__main__":
    main()
