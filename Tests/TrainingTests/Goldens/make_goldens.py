# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for the training library, from a CPU build of PyTorch.

    pip install torch numpy safetensors     (made with torch 2.13.0+cpu, numpy 2.3, safetensors 0.6)
    python3 make_goldens.py

writes, next to itself,
  mlp-gradients.safetensors     the paper's MLP at full size: one batch, its loss, every gradient
  mlp-problem.safetensors       a small MLP, its batches and fixed noise
  mlp-trajectories-{a,b}.safetensors  50 steps of every method on it
Everything is computed in float64 from float32 inputs and stored as float32. Optimizers that PyTorch has are
PyTorch's; everything else is written here from its formula, independently of the Swift code.
"""

import os

import numpy as np
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))


def to32(x):
    return x.to(torch.float32).to(torch.float64)


def names(count):
    return [f"network.W_{i}.weight" for i in range(1, count + 1)]


def default_weights(widths, generator):
    weights = []
    for fan_in, out in zip(widths, widths[1:]):
        bound = fan_in**-0.5
        weights.append(to32((2 * torch.rand(out, fan_in, generator=generator) - 1) * bound))
    return weights


def predict(weights, x):
    for w in weights[:-1]:
        x = torch.relu(x @ w.T)
    return x @ weights[-1].T


def loss_and_gradients(weights, x, y):
    leaves = [w.clone().requires_grad_() for w in weights]
    loss = ((predict(leaves, x) - y) ** 2).mean()
    return loss.item(), list(torch.autograd.grad(loss, leaves))


def gradients_file():
    generator = torch.Generator().manual_seed(20)
    weights = default_weights([100, 100, 100, 100, 1], generator)
    x = to32(torch.randn(32, 100, generator=generator))
    y = to32((x[:, 0] * x[:, 1] * x[:, 2])[:, None])
    loss, gradients = loss_and_gradients(weights, x, y)
    tensors = {"input": x, "target": y, "loss": torch.tensor([loss])}
    for name, w, g in zip(names(4), weights, gradients):
        tensors[name] = w
        tensors["grad." + name] = g
    save(tensors, "mlp-gradients.safetensors")


def save(tensors, name):
    save_file({k: v.to(torch.float32).contiguous() for k, v in tensors.items()}, os.path.join(HERE, name))


# --- small model, 50 steps -------------------------------------------------------------------------
STEPS, BATCH, WIDTHS = 50, 5, [8, 7, 6, 6, 1]


class Problem:
    def __init__(self):
        g = torch.Generator().manual_seed(7)
        self.start = default_weights(WIDTHS, g)
        self.x = to32(torch.randn(STEPS, BATCH, WIDTHS[0], generator=g))
        self.y = to32((self.x[..., 0] * self.x[..., 1] * self.x[..., 2])[..., None])
        rng = np.random.default_rng(11)
        on = rng.random(STEPS) < 0.3
        assert 10 <= on.sum() <= 25
        self.sample = torch.tensor(rng.integers(0, BATCH, STEPS))
        self.s, self.u, self.v = [], [], []
        for w in self.start:
            sign = rng.integers(0, 2, STEPS) * 2 - 1
            size = 0.5 * (1 - rng.random(STEPS)) ** (-1 / 1.1)
            u, v = rng.standard_normal((STEPS, w.shape[0])), rng.standard_normal((STEPS, w.shape[1]))
            u /= np.linalg.norm(u, axis=1, keepdims=True)
            v /= np.linalg.norm(v, axis=1, keepdims=True)
            self.s.append(to32(torch.tensor(on * sign * size)))
            self.u.append(to32(torch.tensor(u)))
            self.v.append(to32(torch.tensor(v)))

    def noise(self, k):
        return [s[k] * torch.outer(u[k], v[k]) for s, u, v in zip(self.s, self.u, self.v)]

    def batch(self, weights, k):
        """Loss, noisy mini-batch gradients, and each sample's own noisy gradients."""
        loss, clean = loss_and_gradients(weights, self.x[k], self.y[k])
        noise = self.noise(k)
        samples = []
        for j in range(BATCH):
            _, own = loss_and_gradients(weights, self.x[k, j : j + 1], self.y[k, j : j + 1])
            if j == int(self.sample[k]):
                own = [g + BATCH * n for g, n in zip(own, noise)]
            samples.append(own)
        noisy = [g + n for g, n in zip(clean, noise)]
        for layer, g in enumerate(noisy):
            mean = sum(own[layer] for own in samples) / BATCH
            assert torch.allclose(mean, g, rtol=1e-10, atol=1e-12)
        return loss, noisy, samples


def joint_norm(gradients):
    return float(torch.sqrt(sum((g**2).sum() for g in gradients)))


def spectral(g, function):
    u, s, vt = torch.linalg.svd(g, full_matrices=False)
    return (u * function(s)) @ vt


def clamp_spectrum(g, tau):
    return spectral(g, lambda s: s.clamp(max=tau))


# Clipping rules: (weights, noisy gradients, per-sample gradients) -> gradients.
def norm_rule(limit, epsilon=0.0):
    def rule(weights, gradients, samples):
        factor = min(1.0, limit / (joint_norm(gradients) + epsilon))
        return [factor * g for g in gradients]

    return rule


def const_rule(tau):
    return lambda weights, gradients, samples: [clamp_spectrum(g, tau) for g in gradients]


def ema_rule(theta, paper):
    state = {"k": 0, "t": None}

    def rule(weights, gradients, samples):
        k, top = state["k"], [float(torch.linalg.matrix_norm(g, 2)) for g in gradients]
        old = state["t"] or [0.0] * len(top)
        new = [theta * t + (1 - theta) * s for t, s in zip(old, top)]
        if paper:
            tau = [t / (1 - theta ** (k + 1)) for t in new]
        else:
            tau = top if k == 0 else [t / (1 - theta**k) for t in old]
        state.update(k=k + 1, t=new)
        return [clamp_spectrum(g, t) for g, t in zip(gradients, tau)]

    return rule


def quantile_rule(level, window):
    history = None

    def rule(weights, gradients, samples):
        nonlocal history
        history = history or [[] for _ in gradients]
        clipped = []
        for own, g in zip(history, gradients):
            top = float(torch.linalg.matrix_norm(g, 2))
            clipped.append(clamp_spectrum(g, sorted(own)[int(level * (len(own) - 1))]) if own else g)
            own.append(top)
            del own[:-window]
        return clipped

    return rule


def soft_rule(c):
    return lambda weights, gradients, samples: [
        spectral(g, lambda s: s / torch.sqrt(1 + s**2 / c**2)) for g in gradients
    ]


def agc_rule(ratio):
    def rule(weights, gradients, samples):
        clipped = []
        for w, g in zip(weights, gradients):
            limit = ratio * w.norm(dim=1, keepdim=True).clamp(min=1e-3)
            size = g.norm(dim=1, keepdim=True)
            clipped.append(torch.where(size > limit, g * limit / size, g))
        return clipped

    return rule


def coordinate_rule(c):
    return lambda weights, gradients, samples: [g.clamp(-c, c) for g in gradients]


def per_sample_rule(a, b):
    def rule(weights, gradients, samples):
        total = [torch.zeros_like(g) for g in gradients]
        for k, own in enumerate(samples, start=1):
            gamma = min(1.0, a * k ** (1 / b) / joint_norm(own))
            total = [t + gamma * g / len(samples) for t, g in zip(total, own)]
        return total

    return rule


def micro_rule(sizes, clip):
    def rule(weights, gradients, samples):
        total, start = [torch.zeros_like(g) for g in gradients], 0
        for size in sizes:
            part = samples[start : start + size]
            mean = [sum(layer) / size for layer in zip(*part)]
            total = [t + size / BATCH * g for t, g in zip(total, clip(mean))]
            start += size
        return total

    return rule


def clip_joint(limit):
    return lambda gradients: [min(1.0, limit / joint_norm(gradients)) * g for g in gradients]


def normalise_rule(beta):
    return lambda weights, gradients, samples: [g / (joint_norm(gradients) + beta) for g in gradients]


def delta_rule(gamma, delta):
    def rule(weights, gradients, samples):
        factor = min(1.0, max(delta, gamma / joint_norm(gradients)))
        return [factor * g for g in gradients]

    return rule


def no_rule(weights, gradients, samples):
    return gradients


# Optimizers: factory(parameters) -> step(gradients).
def torch_optimizer(make):
    def factory(parameters):
        optimizer = make(parameters)

        def step(gradients):
            for p, g in zip(parameters, gradients):
                p.grad = g.clone()
            optimizer.step()

        return step

    return factory


def sgd(lr, momentum=0.9, **options):
    return torch_optimizer(lambda p: torch.optim.SGD(p, lr=lr, momentum=momentum, **options))


def newton_schulz(g, clamps):
    x = g.T if g.shape[0] > g.shape[1] else g
    size = x.norm()
    x = x / (size.clamp(min=1e-7) if clamps else size + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def muon(lr, momentum, torch_form, decay=0.0):
    def factory(parameters):
        buffers = [torch.zeros_like(p) for p in parameters]

        def step(gradients):
            with torch.no_grad():
                for i, (p, g) in enumerate(zip(parameters, gradients)):
                    buffers[i] = torch.lerp(buffers[i], g, 1 - momentum)
                    update = torch.lerp(g, buffers[i], momentum) if torch_form else buffers[i]
                    rows, columns = p.shape
                    if torch_form:
                        scale = max(1, rows / columns) ** 0.5
                    else:
                        scale = 0.2 * max(rows, columns) ** 0.5
                    p.mul_(1 - lr * decay)
                    p.sub_(lr * scale * newton_schulz(update, torch_form))

        return step

    return factory


def scion(lr, rho):
    def factory(parameters):
        averages = [torch.zeros_like(p) for p in parameters]

        def step(gradients):
            with torch.no_grad():
                directions, dual = [], 0.0
                for i, g in enumerate(gradients):
                    averages[i] = 0.1 * g + 0.9 * averages[i]
                    directions.append(newton_schulz(averages[i], False))
                    dual += float((averages[i] * directions[i]).sum())
                for p, v in zip(parameters, directions):
                    p.sub_(lr * min(rho, dual) * v)

        return step

    return factory


def acclip(lr):
    def factory(parameters):
        m = [torch.zeros_like(p) for p in parameters]
        tau = [torch.zeros_like(p) for p in parameters]

        def step(gradients):
            with torch.no_grad():
                for i, (p, g) in enumerate(zip(parameters, gradients)):
                    m[i] = 0.9 * m[i] + 0.1 * g
                    tau[i] = 0.999 * tau[i] + 0.001 * g.abs()
                    p.sub_(lr * torch.clamp(tau[i] / (m[i].abs() + 1e-5), max=1) * m[i])

        return step

    return factory


METHODS = {
    "sgdm-none": (lambda: no_rule, sgd(0.002)),
    "sgdm-nesterov-decay": (lambda: no_rule, sgd(0.002, nesterov=True, weight_decay=0.05)),
    "adam-none": (lambda: no_rule, torch_optimizer(lambda p: torch.optim.Adam(p, lr=0.003))),
    "adam-norm": (lambda: norm_rule(0.8, 1e-6), torch_optimizer(lambda p: torch.optim.Adam(p, lr=0.003))),
    "adam-decay": (lambda: no_rule, torch_optimizer(lambda p: torch.optim.Adam(p, lr=0.003, weight_decay=0.05))),
    "adamw-none": (lambda: no_rule, torch_optimizer(lambda p: torch.optim.AdamW(p, lr=0.003, weight_decay=0.1))),
    "sgdm-norm": (lambda: norm_rule(0.8, 1e-6), sgd(0.01)),
    "sgdm-spectral": (lambda: const_rule(0.3), sgd(0.01)),
    "sgdm-ema": (lambda: ema_rule(0.9, False), sgd(0.01)),
    "sgdm-ema-paper": (lambda: ema_rule(0.9, True), sgd(0.01)),
    "sgdm-quantile": (lambda: quantile_rule(0.85, 10), sgd(0.01)),
    "muon": (lambda: no_rule, muon(0.01, 0.9, False)),
    "muon-torch": (lambda: no_rule, muon(0.01, 0.95, True, 0.1)),
    "clipped-scion": (lambda: no_rule, scion(0.02, 0.8)),
    "sgdm-soft-spectral": (lambda: soft_rule(0.3), sgd(0.01)),
    "sgdm-agc": (lambda: agc_rule(0.5), sgd(0.01)),
    "acclip": (lambda: no_rule, acclip(0.5)),
    "sgdm-coordinate": (lambda: coordinate_rule(0.1), sgd(0.01)),
    "sgdm-per-sample": (lambda: per_sample_rule(0.5, 1.1), sgd(0.01)),
    "sgdm-micro-norm": (lambda: micro_rule([3, 2], clip_joint(0.8)), sgd(0.01)),
    "sgdm-micro-spectral": (lambda: micro_rule([3, 2], lambda g: [clamp_spectrum(x, 0.3) for x in g]), sgd(0.01)),
    "clipped-gd": (lambda: norm_rule(0.8), sgd(0.05, momentum=0)),
    "normalized-gd": (lambda: normalise_rule(0.5), sgd(0.05, momentum=0)),
    "delta-gclip": (lambda: delta_rule(0.8, 0.4), sgd(0.05, momentum=0)),
}


def trajectory(problem, rule, optimizer, start):
    weights = [w.clone() for w in start]
    step, losses, path = optimizer(weights), [], [[] for _ in weights]
    for k in range(STEPS):
        loss, gradients, samples = problem.batch(weights, k)
        assert joint_norm(samples[0]) + joint_norm(samples[-1]) > 0, "the network has died"
        step(rule(weights, gradients, samples))
        losses.append(loss)
        for own, w in zip(path, weights):
            own.append(w.clone())
    return torch.tensor(losses), [torch.stack(own) for own in path]


def trajectories_file():
    problem = Problem()
    parts = [{}, {}]  # two files of moderate size
    tensors = {"input": problem.x, "target": problem.y, "noise.sample": problem.sample}
    for name, w, s, u, v in zip(names(4), problem.start, problem.s, problem.u, problem.v):
        tensors.update({"init." + name: w, f"noise.{name}.s": s, f"noise.{name}.u": u, f"noise.{name}.v": v})
    save(tensors, "mlp-problem.safetensors")
    for index, (method, (rule, optimizer)) in enumerate(METHODS.items()):
        tensors = parts[index % 2]
        losses, path = trajectory(problem, rule(), optimizer, problem.start)
        # Chaos would make the comparison meaningless: a change of 1e-7 must stay small.
        nudged = [w * (1 + 1e-7) for w in problem.start]
        _, other = trajectory(problem, rule(), optimizer, nudged)
        drift = max(float((a[-1] - b[-1]).norm() / a[-1].norm()) for a, b in zip(path, other))
        assert torch.isfinite(losses).all() and drift < 1e-4, (method, drift)
        tensors[f"{method}/drift"] = torch.tensor([drift])
        tensors[f"{method}/loss"] = losses
        for name, own in zip(names(4), path):
            tensors[f"{method}/{name}"] = own
        print(f"{method:22s} loss {losses[0]:.4f} -> {losses[-1]:.4f}, drift of 1e-7: {drift:.1e}")
    for name, part in zip("ab", parts):
        save(part, f"mlp-trajectories-{name}.safetensors")


gradients_file()
trajectories_file()
