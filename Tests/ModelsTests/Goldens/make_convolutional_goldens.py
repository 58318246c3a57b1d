# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for the three convolutional networks, from a CPU build of PyTorch.

    pip install torch numpy safetensors     (made with torch 2.13.0+cpu, numpy 2.4, safetensors 0.8)
    python3 make_convolutional_goldens.py

writes, next to itself, for cifarnet (widths 9, 20, 12), resnet18 (widths 8, 8, 16, 16) and resnet20 (widths 4, 8, 16), in training mode,
  NET-weights.safetensors      the state dict: parameters, frozen ones, running statistics of some earlier batches
  NET-batch.safetensors        input [B, 3, H, W] and target [B]
  NET-gradients.safetensors    loss, logits, the gradient of every trained parameter, and the running statistics after
  NET-trajectory.safetensors   5 steps of SGD with Nesterov momentum on the batch: losses and the final state
and whitening.safetensors: small images and the whitening weight that NumPy's eigh gives, up to signs of eigenvectors.
Everything is computed in float64 from float32 weights and stored as float32, losses as float64. The networks are
written here from their description on torch's functional convolutions, independently of the Swift code; where
torchvision is there, its names are compared. Seeds are such that no maximum or ReLU is decided by rounding.
"""

import os

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 5


def to32(x):
    return x.to(torch.float32).to(torch.float64)


def save(tensors, name):
    tensors = {k: v.to(torch.float32) if v.is_floating_point() and not k.startswith("loss") else v for k, v in tensors.items()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(HERE, name))


class Margins:
    """The smallest distance to a decision of a maximum or a ReLU, relative to the tensor's size."""

    least = float("inf")

    @classmethod
    def relu(cls, x):
        cls.least = min(cls.least, float(x.detach().abs().min() / x.detach().abs().mean()))
        return F.relu(x)

    @classmethod
    def max_pool(cls, x, size):
        windows = x.detach().unfold(2, size, size).unfold(3, size, size).flatten(4)
        top = windows.topk(2).values
        cls.least = min(cls.least, float((top[..., 0] - top[..., 1]).min() / x.detach().abs().mean()))
        return F.max_pool2d(x, size)


class Network:
    def start(self, generator):
        """A state dict in torch's order: every name a weight, or a norm's five."""
        state = {}
        for name, shape in self.shapes():
            if name.endswith("running_var"):
                value = 0.5 + torch.rand(shape, generator=generator)
            elif name.endswith("num_batches_tracked"):
                state[name] = torch.tensor(7)
                continue
            elif name in self.ones:
                value = torch.ones(shape)
            elif len(shape) > 1:
                value = torch.randn(shape, generator=generator) / (np.prod(shape[1:]) / 2) ** 0.5
            else:
                value = 0.2 * torch.randn(shape, generator=generator)
                value = value + 1 if name.endswith("weight") else value
            state[name] = to32(value)
        return state

    def trained(self, state):
        frozen = self.ones | self.frozen
        return [n for n in state if not any(part in n for part in ("running", "tracked")) and n not in frozen]

    def norm(self, state, name, x):
        """Normalises by the batch's statistics and updates the running ones in place."""
        mean = x.mean((0, 2, 3))
        variance = x.var((0, 2, 3), unbiased=False)
        n = x.numel() / x.shape[1]
        with torch.no_grad():
            for key, value in (("mean", mean), ("var", variance * n / (n - 1))):
                old = state[f"{name}.running_{key}"]
                state[f"{name}.running_{key}"] = (1 - self.momentum) * old + self.momentum * value
            state[name + ".num_batches_tracked"] = state[name + ".num_batches_tracked"] + 1
        scale = state[name + ".weight"] / torch.sqrt(variance + self.epsilon)
        return (x - mean[:, None, None]) * scale[:, None, None] + state[name + ".bias"][:, None, None]


def norm_shapes(name, width):
    parts = [("weight", (width,)), ("bias", (width,)), ("running_mean", (width,)), ("running_var", (width,)), ("num_batches_tracked", ())]
    return [(f"{name}.{part}", shape) for part, shape in parts]


class CifarNet(Network):
    name, widths, size, batch = "cifarnet", (9, 20, 12), 32, 3
    momentum, epsilon, rate = 0.4, 1e-12, 0.01
    frozen = {"whiten.weight"}
    ones = {f"layers.{i}.norm{j}.weight" for i in (1, 2, 3) for j in (1, 2)}

    def shapes(self):
        shapes, channels = [("whiten.weight", (24, 3, 2, 2)), ("whiten.bias", (24,))], 24
        for i, width in enumerate(self.widths, 1):
            for j, inputs in ((1, channels), (2, width)):
                shapes += [(f"layers.{i}.conv{j}.weight", (width, inputs, 3, 3))] + norm_shapes(f"layers.{i}.norm{j}", width)
            channels = width
        return shapes + [("head.weight", (10, channels))]

    def logits(self, s, x):
        x = F.gelu(F.conv2d(x, s["whiten.weight"], s["whiten.bias"]))
        for i in (1, 2, 3):
            x = Margins.max_pool(F.conv2d(x, s[f"layers.{i}.conv1.weight"], padding=1), 2)
            x = F.gelu(self.norm(s, f"layers.{i}.norm1", x))
            x = F.gelu(self.norm(s, f"layers.{i}.norm2", F.conv2d(x, s[f"layers.{i}.conv2.weight"], padding=1)))
        x = Margins.max_pool(x, 3).flatten(1)
        return x @ s["head.weight"].T / x.shape[1]

    def loss(self, logits, target):
        return F.cross_entropy(logits, target, label_smoothing=0.2, reduction="sum")


class ResNet18(Network):
    name, widths, size, batch = "resnet18", (8, 8, 16, 16), 16, 3
    momentum, epsilon, rate, depth, projects = 0.1, 1e-5, 0.005, 2, True
    frozen, ones = set(), set()

    def blocks(self):
        channels = self.widths[0]
        for stage, width in enumerate(self.widths, 1):
            for index in range(self.depth):
                stride = 2 if stage > 1 and index == 0 else 1
                yield f"layer{stage}.{index}", channels, width, stride
                channels = width

    def shapes(self):
        shapes = [("conv1.weight", (self.widths[0], 3, 3, 3))] + norm_shapes("bn1", self.widths[0])
        for name, channels, width, stride in self.blocks():
            shapes += [(name + ".conv1.weight", (width, channels, 3, 3))] + norm_shapes(name + ".bn1", width)
            shapes += [(name + ".conv2.weight", (width, width, 3, 3))] + norm_shapes(name + ".bn2", width)
            if self.projects and (stride > 1 or channels != width):
                shapes += [(name + ".downsample.0.weight", (width, channels, 1, 1))] + norm_shapes(name + ".downsample.1", width)
        return shapes + [("fc.weight", (10, self.widths[-1])), ("fc.bias", (10,))]

    def logits(self, s, x):
        x = Margins.relu(self.norm(s, "bn1", F.conv2d(x, s["conv1.weight"], padding=1)))
        for name, _, _, stride in self.blocks():
            y = F.conv2d(x, s[name + ".conv1.weight"], stride=stride, padding=1)
            y = Margins.relu(self.norm(s, name + ".bn1", y))
            y = self.norm(s, name + ".bn2", F.conv2d(y, s[name + ".conv2.weight"], padding=1))
            if name + ".downsample.0.weight" in s:
                x = self.norm(s, name + ".downsample.1", F.conv2d(x, s[name + ".downsample.0.weight"], stride=stride))
            elif stride > 1:  # He et al.'s option A: every second place, zeros for the new channels on either side
                more = y.shape[1] - x.shape[1]
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more // 2, more - more // 2))
            x = Margins.relu(y + x)
        return x.mean((2, 3)) @ s["fc.weight"].T + s["fc.bias"]

    def loss(self, logits, target):
        return F.cross_entropy(logits, target)


class ResNet20(ResNet18):
    name, widths, depth, projects = "resnet20", (4, 8, 16), 3, False


def differentiate(net, state, x, target):
    names = net.trained(state)
    state = dict(state) | {n: state[n].clone().requires_grad_() for n in names}
    logits = net.logits(state, x)
    loss = net.loss(logits, target)
    gradients = torch.autograd.grad(loss, [state[n] for n in names])
    return loss.detach(), logits.detach(), dict(zip(names, gradients)), {n: v.detach() for n, v in state.items()}


def trajectory(net, state, x, target, dtype=torch.float64):
    state = {n: v.to(dtype) if v.is_floating_point() else v for n, v in state.items()}
    x = x.to(dtype)
    names = net.trained(state)
    parameters = {n: state[n].clone().requires_grad_() for n in names}
    optimizer = torch.optim.SGD(parameters.values(), lr=net.rate, momentum=0.85, nesterov=True)
    state |= parameters
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = net.loss(net.logits(state, x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses), {n: v.detach() for n, v in state.items()}


def torchvision_agrees(net):
    from torchvision.models import resnet18

    assert [name for name, _ in net.shapes()] == list(resnet18(num_classes=10).state_dict())


def files(net, seed):
    generator = torch.Generator().manual_seed(seed)
    state = net.start(generator)
    x = to32(torch.randn(net.batch, 3, net.size, net.size, generator=generator))
    target = torch.randint(10, (net.batch,), generator=generator)
    save(state, f"{net.name}-weights.safetensors")
    save({"input": x, "target": target}, f"{net.name}-batch.safetensors")
    Margins.least = float("inf")
    loss, logits, gradients, after = differentiate(net, state, x, target)
    statistics = {n: v for n, v in after.items() if "running" in n or "tracked" in n}
    save(
        {"loss": loss[None], "logits": logits} | {"gradient." + n: g for n, g in gradients.items()} | {"after." + n: v for n, v in statistics.items()},
        f"{net.name}-gradients.safetensors",
    )
    sizes = {n: float((g**2).mean().sqrt()) for n, g in gradients.items()}
    least = min(sizes, key=sizes.get)
    assert sizes[least] > 1e-4, (least, sizes[least])
    print(f"{net.name}: loss {loss:.6f}, smallest gradient {sizes[least]:.1e} ({least})")
    try:
        if net.name == "resnet18":
            torchvision_agrees(net)
    except ImportError:
        pass
    losses, final = trajectory(net, state, x, target)
    save({"losses": losses} | {"state." + n: v for n, v in final.items()}, f"{net.name}-trajectory.safetensors")
    assert Margins.least > 1e-5, Margins.least
    # What float32 can be expected to reach.
    losses32, final32 = trajectory(net, state, x, target, dtype=torch.float32)
    drift = {n: float((v - final32[n]).norm() / v.norm()) for n, v in final.items() if v.is_floating_point()}
    worst = max(drift, key=drift.get)
    off = float(((losses - losses32) / losses).abs().max())
    print(f"{net.name}: loss {losses[0]:.4f} -> {losses[-1]:.4f}; in float32 within {off:.1e}, state within {drift[worst]:.1e} ({worst}), margin {Margins.least:.1e}")
    assert off < 1e-5 and drift[worst] < 1e-4, (worst, drift[worst], off)


def whitening(seed):
    """Images whose pixels resemble their neighbours, so that eigenvalues are far apart."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((40, 3, 9, 8))
    images = noise.copy()
    images[:, :, 1:] += 0.8 * noise[:, :, :-1]
    images[:, :, :, 1:] += 0.6 * noise[:, :, :, :-1]
    images += 0.7 * noise[:, [1, 2, 0]]
    images = images.astype(np.float32).astype(np.float64)
    patches = np.stack([images[:, :, y : y + 2, x : x + 2].reshape(40, 12) for y in range(8) for x in range(7)]).reshape(-1, 12)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    half = (vectors / np.sqrt(values + 5e-4)).T.reshape(12, 3, 2, 2)
    gaps = np.diff(values) / values[1:]
    print(f"whitening: eigenvalues {values[0]:.3f} to {values[-1]:.3f}, least gap {gaps.min():.3f}")
    assert gaps.min() > 0.01
    save({"images": torch.from_numpy(images), "weight": torch.from_numpy(np.concatenate([half, -half]))}, "whitening.safetensors")


if __name__ == "__main__":
    files(CifarNet(), 46)
    files(ResNet18(), 51)
    files(ResNet20(), 55)
    whitening(43)
