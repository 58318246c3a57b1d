# SPDX-License-Identifier: Apache-2.0
"""Goldens of every arm of the training experiments, from a CPU build of PyTorch.

    pip install torch numpy safetensors     (made with torch 2.13.0+cpu, numpy 2.4, safetensors 0.8)
    python3 make_arm_goldens.py [ARM ...]

reads arm-inputs.safetensors (data, batches and noise at toy size, which the tests write) and writes, next to itself,
arms-{mlp,language,images,vae,resnet,vit,bert}.safetensors. For every arm:
  hyper.NAME            hyper-parameters of the comparison
  losses [K]            of the K steps' batches, each before its step; losses.slack [K]
  final                 the weights after the last step, by ascending names; of more than 64 entries 64 sums with signs
                        (`sketch`)
  names                 a hash of those names
  slack                 one number a parameter: how far off they are in a run whose gradients are wrong by 1e-6 (images: 5e-6, vit and bert: 1e-5, resnet: 2e-5) of their norm, or
                        of a typical gradient's if that is larger, at every step: the largest of three runs
  rate.{steps,of,factors}  (language) the schedule over a run of `of` steps
Weights begin at a closed formula of their names. Everything is computed in float64.

The tables MLP, LANGUAGE, IMAGES, VAE, RESNET, VIT and BERT say what each arm is: optimizer, momentum, decay, schedule, rule, clipped set. They
are written from the paper and its authors' configurations (DESIGN: facts of arXiv 2605.11838, 2605.02701, 1905.11881,
2404.08624, 2603.14315, 2102.06171, 1912.03194, 2506.01913), not from the Swift code. Optimizers that PyTorch has are
PyTorch's. For every number in an arm's row the script makes the same run with that number changed a little and stops
if the final weights do not tell the two apart by ten tolerances: a golden that would not notice a wrong row is
refused.
"""

import copy
import math
import os
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
INPUTS = {k: v.double() if v.is_floating_point() else v.long() for k, v in load_file(os.path.join(HERE, "arm-inputs.safetensors")).items()}
STEPS = 10


# --- closed forms (ArmTrajectory.swift) ----------------------------------------------------------------------------
def fnv1a64(text):
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = ((state ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return state


def uniforms(name, count):
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1


def weights(name, shape):
    draws = uniforms(name, math.prod(shape))
    if len(shape) == 1:
        values = (1.0 if "ln_" in name and name.endswith("weight") else 0.0) + 0.1 * draws
    else:
        values = math.sqrt(6 / math.prod(shape[1:])) * draws
    return torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(shape)


def integers(name, count, limit):
    return torch.from_numpy(np.floor((0.5 * uniforms(name, count) + 0.5) * limit).astype(np.int64))


def sketch(values):
    values = values.flatten()
    if len(values) <= 64:
        return values
    signed = torch.where(torch.from_numpy(uniforms("sketch", len(values))) < 0, -values, values)
    return F.pad(signed, (0, -len(values) % 64)).reshape(-1, 64).sum(0)


# --- rules: a factory takes the row's numbers and gives (weights, gradients, samples) -> gradients ------------------
def matrix(g):
    return g.reshape(g.shape[0], -1)


def joint_norm(gradients):
    return torch.sqrt(sum((g**2).sum() for g in gradients.values()))


def scaled(gradients, factor):
    return {n: factor * g for n, g in gradients.items()}


def top(g):
    return float(torch.linalg.svdvals(matrix(g))[0])


def spectrum(g, function, rank=None):
    """U f(S) V' of a gradient as a matrix [first, rest], a vector as [n, 1]; beyond `rank` it stays as it is."""
    u, s, vt = torch.linalg.svd(matrix(g), full_matrices=False)
    new = function(s)
    if rank is not None:
        new = torch.where(torch.arange(len(s)) < rank, new, s)
    return ((u * new) @ vt).reshape(g.shape)


def clamp(g, tau, rank=None):
    return spectrum(g, lambda s: s.clamp(max=tau), rank)


def none():
    return lambda w, g, samples: g


def norm(maximumNorm, epsilon=1e-6):  # torch.nn.utils.clip_grad_norm_ by default
    return lambda w, g, samples: scaled(g, min(1.0, maximumNorm / float(joint_norm(g) + epsilon)))


def const(tau, rank=None):
    return lambda w, g, samples: {n: clamp(x, tau, rank) for n, x in g.items()}


def ema(theta, present, rank=None):
    """Eq. (8) read literally (present), or the authors' library: past values only, the first step unclipped."""
    state = {"k": 0, "t": {}}

    def rule(w, gradients, samples):
        k, clipped = state["k"], {}
        for n, g in gradients.items():
            old, sigma = state["t"].get(n, 0.0), top(g)
            new = theta * old + (1 - theta) * sigma
            tau = new / (1 - theta ** (k + 1)) if present else math.inf if k == 0 else old / (1 - theta**k)
            clipped[n] = clamp(g, tau, rank)
            state["t"][n] = new
        state["k"] = k + 1
        return clipped

    return rule


def quantile(level, window, rank=None):
    """The authors' library: sorted(W)[int(q (n - 1))] of the last `window` values before this one."""
    seen = {}

    def rule(w, gradients, samples):
        clipped = {}
        for n, g in gradients.items():
            own = seen.setdefault(n, [])
            clipped[n] = clamp(g, sorted(own)[int(level * (len(own) - 1))], rank) if own else g
            own.append(top(g))
            del own[: -int(window)]
        return clipped

    return rule


def mucon(tau, momentum, rank=None, scale=0.2):
    """MuCon: the momentum (lerp) with singular values min(sigma / tau, 1), times Muon's scale of the authors' form."""
    state = {}

    def rule(w, gradients, samples):
        for n, g in gradients.items():
            state[n] = torch.lerp(state.get(n, torch.zeros_like(g)), g, 1 - momentum)
        return {n: scale * max(matrix(g).shape) ** 0.5 / tau * clamp(state[n], tau, rank) for n, g in gradients.items()}

    return rule


def soft(limit):
    return lambda w, g, samples: {n: spectrum(x, lambda s: s / torch.sqrt(1 + s**2 / limit**2)) for n, x in g.items()}


def per_sample(scale, moment):
    def rule(w, g, samples):
        total = {n: torch.zeros_like(x) for n, x in g.items()}
        for k, own in enumerate(samples, start=1):
            factor = min(1.0, scale * k ** (1 / moment) / float(joint_norm(own)))
            total = {n: t + factor * own[n] / len(samples) for n, t in total.items()}
        return total

    return rule


def micro(parts, inner):
    """Clips the mean gradient of each of `parts` equal parts of the batch, then averages."""

    def rule(w, g, samples):
        size = len(samples) // parts
        means = [{n: sum(own[n] for own in samples[i * size : (i + 1) * size]) / size for n in g} for i in range(parts)]
        clipped = [inner(w, mean, None) for mean in means]
        return {n: sum(c[n] for c in clipped) / parts for n in g}

    return rule


def normalized(offset):
    return lambda w, g, samples: scaled(g, 1 / (float(joint_norm(g)) + offset))


def delta(maximumNorm, least):
    return lambda w, g, samples: scaled(g, min(1.0, max(least, maximumNorm / float(joint_norm(g)))))


def agc(ratio, least):
    def rows(w, g):
        limit, size = ratio * w.norm(dim=1, keepdim=True).clamp(min=least), g.norm(dim=1, keepdim=True)
        return torch.where(size > limit, g * limit / size, g)

    return lambda w, gradients, samples: {n: rows(w[n], g) for n, g in gradients.items()}


def coordinate(limit):
    return lambda w, g, samples: {n: x.clamp(-limit, limit) for n, x in g.items()}


# --- optimizers: a factory takes the row's numbers and gives parameters -> step(rate, gradients) ---------------------
def torch_optimizer(make):
    def factory(parameters):
        optimizer = make(list(parameters.values()))

        def step(rate, gradients):
            for group in optimizer.param_groups:
                group["lr"] = rate
            for n, p in parameters.items():
                p.grad = gradients[n].clone()
            optimizer.step()

        return step

    return factory


def sgd(momentum, decay=0.0, nesterov=False):
    return torch_optimizer(lambda p: torch.optim.SGD(p, lr=1, momentum=momentum, weight_decay=decay, nesterov=nesterov))


def adam(beta1=0.9, beta2=0.999, decay=0.0):  # torch's defaults
    return torch_optimizer(lambda p: torch.optim.Adam(p, lr=1, betas=(beta1, beta2), eps=1e-8, weight_decay=decay))


def adamw(beta1, beta2, decay):
    return torch_optimizer(lambda p: torch.optim.AdamW(p, lr=1, betas=(beta1, beta2), eps=1e-8, weight_decay=decay))


def newton_schulz(g, clamps, steps=5):
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (x.norm().clamp(min=1e-7) if clamps else x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def each(start, change):
    """An optimizer with one buffer set a parameter: change(parameter, gradient, rate, buffers)."""

    def factory(parameters):
        state = {n: [torch.zeros_like(p) for _ in range(start)] for n, p in parameters.items()}

        def step(rate, gradients):
            with torch.no_grad():
                for n, p in parameters.items():
                    change(p, gradients[n], rate, state[n])

        return step

    return factory


def muon_authors(momentum, decay=0.0, scale=0.2):
    """The authors' NanoGPT code: lerp momentum, no Nesterov, scale 0.2 sqrt(longer side), decoupled decay."""

    def change(p, g, rate, m):
        m[0] = torch.lerp(m[0], g, 1 - momentum)
        update = newton_schulz(matrix(m[0]), False).reshape(g.shape)
        p.mul_(1 - rate * decay).sub_(rate * scale * max(matrix(p).shape) ** 0.5 * update)

    return each(1, change)


def muon_torch(momentum, decay=0.0):
    """torch.optim.Muon (in float64; its own goes through bfloat16): lerp, Nesterov, scale sqrt(max(1, rows/columns))."""

    def change(p, g, rate, m):
        m[0] = torch.lerp(m[0], g, 1 - momentum)
        update = newton_schulz(matrix(torch.lerp(g, m[0], momentum)), True).reshape(g.shape)
        rows, columns = matrix(p).shape
        p.mul_(1 - rate * decay).sub_(rate * max(1, rows / columns) ** 0.5 * update)

    return each(1, change)


def clipped_scion(radius, averaging):
    def factory(parameters):
        averages = {n: torch.zeros_like(p) for n, p in parameters.items()}

        def step(rate, gradients):
            with torch.no_grad():
                for n, g in gradients.items():
                    averages[n] = averaging * g + (1 - averaging) * averages[n]
                ways = {n: newton_schulz(d, False) for n, d in averages.items()}
                dual = sum(float((averages[n] * v).sum()) for n, v in ways.items())
                for n, p in parameters.items():
                    p.sub_(rate * min(radius, dual) * ways[n])

        return step

    return factory


def acclip(beta1, beta2, epsilon):
    def change(p, g, rate, state):
        state[0] = beta1 * state[0] + (1 - beta1) * g
        state[1] = beta2 * state[1] + (1 - beta2) * g.abs()
        p.sub_(rate * torch.clamp(state[1] / (state[0].abs() + epsilon), max=1) * state[0])

    return each(2, change)


# --- MLP: §6.4 ------------------------------------------------------------------------------------------------------
SGDM = (sgd, dict(momentum=0.9))
PLAIN = (sgd, dict(momentum=0.0))
NONE = (none, {})
MLP = {
    # arm: (learning rate, rule, its numbers that are hyper-parameters, its other numbers, optimizer)
    "adam-none": (0.02, none, {}, {}, (adam, {})),
    "adam-norm": (0.02, norm, dict(maximumNorm=4.0), {}, (adam, {})),
    "sgdm-norm": (0.02, norm, dict(maximumNorm=0.8), {}, SGDM),
    "sgdm-spectral-const": (0.02, const, dict(tau=0.3), {}, SGDM),
    "sgdm-spectral-ema": (0.01, ema, {}, dict(theta=0.9, present=False), SGDM),
    "sgdm-spectral-quantile": (0.001, quantile, dict(level=0.7), dict(window=100), SGDM),
    "sgdm-none": (0.002, none, {}, {}, SGDM),
    "sgdm-spectral-ema-paper": (0.01, ema, {}, dict(theta=0.9, present=True), SGDM),
    "muon": (0.02, none, {}, {}, (muon_authors, dict(momentum=0.9))),
    "muon-torch": (0.02, none, {}, {}, (muon_torch, dict(momentum=0.95))),
    "mucon": (0.02, mucon, dict(tau=0.3), dict(momentum=0.9), PLAIN),
    "clipped-scion": (0.02, none, {}, {}, (clipped_scion, dict(radius=0.5, averaging=0.1))),
    "sgdm-soft-spectral": (0.02, soft, dict(limit=0.3), {}, SGDM),
    "sgdm-per-sample": (0.02, per_sample, dict(scale=0.5), dict(moment=1.1), SGDM),  # the noise's exponent
    "sgdm-micro-norm": (0.02, lambda limit, parts: micro(parts, norm(limit, 0)), dict(limit=0.8), dict(parts=4), SGDM),
    "sgdm-micro-spectral": (0.02, lambda tau, parts: micro(parts, const(tau)), dict(tau=0.3), dict(parts=4), SGDM),
    "clipped-gd": (0.1, lambda maximumNorm: norm(maximumNorm, 0), dict(maximumNorm=0.8), {}, PLAIN),
    "normalized-gd": (0.1, normalized, dict(offset=0.5), {}, PLAIN),
    "delta-gclip": (20.0, delta, dict(maximumNorm=0.003), dict(least=1e-3), PLAIN),  # its paper's delta
    "sgdm-agc": (0.02, agc, dict(ratio=0.2), dict(least=1e-3), SGDM),
    "acclip": (1.0, none, {}, {}, (acclip, dict(beta1=0.9, beta2=0.999, epsilon=1e-5))),
    "sgdm-coordinate": (0.02, coordinate, dict(limit=0.1), {}, SGDM),
}
MLP_HYPER_OF_OPTIMIZER = {"clipped-scion": ["radius"]}
STEPS_OF = {"sgdm-spectral-quantile": 112}  # beyond the window


class MLPRun:
    def __init__(self, arm, recipe):
        rate, rule, hyper, fixed, (optimizer, numbers) = recipe
        self.rule, self.rate = rule(**hyper, **fixed), rate
        widths = INPUTS["mlp.widths"].tolist()
        shapes = {f"network.W_{i}.weight": (o, n) for i, (n, o) in enumerate(zip(widths, widths[1:]), start=1)}
        self.parameters = {n: weights(n, s) for n, s in shapes.items()}
        self.move = optimizer(**numbers)(self.parameters)
        self.hits = {int(k): i for i, k in enumerate(INPUTS["mlp.noise.steps"])}
        assert any(k < STEPS for k in self.hits)

    def loss(self, w, rows):
        h = INPUTS["mlp.x"][rows]
        layers = list(w.values())
        for layer in layers[:-1]:
            h = F.relu(h @ layer.T)
        return ((h @ layers[-1].T - INPUTS["mlp.y"][rows][:, None]) ** 2).mean()

    def gradients(self, rows):
        leaves = {n: p.detach().clone().requires_grad_() for n, p in self.parameters.items()}
        loss = self.loss(leaves, rows)
        return loss.item(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()))))

    def step(self, k, nudge):
        rows = INPUTS["mlp.batches"][k]
        loss, g = self.gradients(rows)
        samples = [self.gradients(rows[j : j + 1])[1] for j in range(len(rows))]
        if k in self.hits:
            i = self.hits[k]
            added = {n: INPUTS[f"mlp.noise.{layer}"][i] for layer, n in enumerate(g, start=1)}
            g = {n: x + added[n] for n, x in g.items()}
            hit = int(INPUTS["mlp.noise.samples"][i])  # the noise is part of one sample's gradient
            samples[hit] = {n: x + len(rows) * added[n] for n, x in samples[hit].items()}
        g, samples = nudge(g), [nudge(own) for own in samples]
        self.move(self.rate, self.rule(self.parameters, g, samples))
        return loss

    def final(self):
        return self.parameters


# --- language models: §§6.2, 6.3 ------------------------------------------------------------------------------------
ALL = lambda names: list(names)
EMBEDDINGS = ("token_emb", "pos_emb", "wte", "wpe")
is_embedding = lambda n: any(e in n for e in EMBEDDINGS)


# What a rule has beside its hyper-parameters.
FIXED = {ema: dict(theta=0.9, present=False), quantile: dict(window=100), mucon: dict(momentum=0.9)}
SPECTRAL = (const, ema, quantile, mucon)


def nanogpt_arm(optimizer, rule, hyper, clipped, parts=1, rate=0.05):
    """The authors' nanogpt_shakespeare: SGD or Muon moves matrices, decay 0.1; Adam the rest at the same rate."""
    matrices = dict(sgdm=(sgd, dict(momentum=0.9, decay=0.1)), muon=(muon_authors, dict(momentum=0.9, decay=0.1)), mucon=(sgd, dict(momentum=0.0, decay=0.1)))[optimizer]
    rest = (adam, dict(beta1=0.9, beta2=0.95))
    fixed = FIXED.get(rule, {}) | (dict(rank=3) if rule in SPECTRAL else {})
    return dict(form="nanogpt", rate=rate, rule=rule, hyper=hyper, fixed=fixed, clipped=clipped, parts=parts, matrices=matrices, embeddings=rest, vectors=rest, schedule="constant")


def gpt2_arm(optimizer, rule, hyper, clipped, rate):
    """The authors' gpt2_fineweb: one optimizer for everything, or Muon for matrices and AdamW beside it; no decay."""
    matrices = rest = dict(sgdm=(sgd, dict(momentum=0.9, decay=0.0)), adam=(adamw, dict(beta1=0.9, beta2=0.999, decay=0.0)), muon=(muon_torch, dict(momentum=0.9, decay=0.0)), mucon=(sgd, dict(momentum=0.0, decay=0.0)))[optimizer]
    if optimizer in ("muon", "mucon"):
        rest = (adamw, dict(beta1=0.9, beta2=0.99, decay=0.0))
    fixed = FIXED.get(rule, {}) | (dict(rank=64) if rule in SPECTRAL else {})
    return dict(form="gpt2", rate=rate, rule=rule, hyper=hyper, fixed=fixed, clipped=clipped, parts=1, matrices=matrices, embeddings=rest, vectors=rest, schedule="warm-up 200, cosine")


LANGUAGE = {
    "sgdm-norm": nanogpt_arm("sgdm", norm, dict(maximumNorm=0.3), "all"),
    "sgdm-spectral": nanogpt_arm("sgdm", const, dict(tau=0.02), "matrices"),
    "sgdm-norm-same-set": nanogpt_arm("sgdm", norm, dict(maximumNorm=0.3), "matrices"),
    "muon-norm": nanogpt_arm("muon", norm, dict(maximumNorm=1.45), "all", rate=0.02),
    "muon-spectral": nanogpt_arm("muon", const, dict(tau=0.02), "matrices", rate=0.02),
    "muon-norm-same-set": nanogpt_arm("muon", norm, dict(maximumNorm=1.03), "matrices", rate=0.02),
    "sgdm-ema": nanogpt_arm("sgdm", ema, {}, "matrices", rate=0.02),
    "sgdm-quantile": nanogpt_arm("sgdm", quantile, dict(level=0.7), "matrices", rate=0.02),
    "mucon": nanogpt_arm("mucon", mucon, dict(tau=0.02), "matrices", rate=0.02),
    "sgdm-norm-micro": nanogpt_arm("sgdm", norm, dict(maximumNorm=0.3), "all", parts=4),
    "sgdm-spectral-micro": nanogpt_arm("sgdm", const, dict(tau=0.02), "matrices", parts=4),
    # nanoGPT's README: AdamW (0.9, 0.99), decay 0.1 on whatever has two axes, warm-up 100, cosine to a tenth.
    "adamw-readme": dict(
        form="nanogpt", rate=1.0, rule=norm, hyper=dict(maximumNorm=1.1), fixed={}, clipped="all", parts=1,
        matrices=(adamw, dict(beta1=0.9, beta2=0.99, decay=0.1)), embeddings=(adamw, dict(beta1=0.9, beta2=0.99, decay=0.1)),
        vectors=(adamw, dict(beta1=0.9, beta2=0.99, decay=0.0)), schedule="warm-up 100, cosine to a tenth",
    ),
}  # fmt: skip
# Adam and Muon do not see a common factor of all gradients: there the norm clip acts in some of the steps only.
for name, rate, limit in (("sgdm", 0.1, 0.3), ("adam", 0.02, 1.4), ("muon", 0.02, 1.65)):
    LANGUAGE[f"gpt2-{name}-norm"] = gpt2_arm(name, norm, dict(maximumNorm=limit), "all", rate)
    LANGUAGE[f"gpt2-{name}-spectral"] = gpt2_arm(name, const, dict(tau=0.05), "all but embeddings", rate)
    LANGUAGE[f"gpt2-{name}-norm-same-set"] = gpt2_arm(name, norm, dict(maximumNorm=limit), "all but embeddings", rate)
LANGUAGE["gpt2-sgdm-ema"] = gpt2_arm("sgdm", ema, {}, "all but embeddings", 0.1)
LANGUAGE["gpt2-sgdm-quantile"] = gpt2_arm("sgdm", quantile, dict(level=0.7), "all but embeddings", 0.1)
LANGUAGE["gpt2-mucon"] = gpt2_arm("mucon", mucon, dict(tau=0.05), "matrices", 0.02)


def rate_factor(schedule, k, steps, warmup=None):
    """Up to the rate in equal parts, of which the first step has one; then half a cosine down to the floor."""
    if schedule == "constant":
        return 1.0
    warmup = warmup if warmup is not None else 200 if "200" in schedule else 100
    floor = 0.1 if "tenth" in schedule else 0.0
    if k < warmup:
        return (k + 1) / warmup
    return floor + (1 - floor) * (1 + math.cos(math.pi * (k - warmup) / (steps - warmup))) / 2


class LanguageRun:
    layers, heads, width, block, vocabulary, batch = 1, 2, 8, 6, 11, 4

    def __init__(self, arm, recipe):
        self.r = recipe
        self.gpt2 = recipe["form"] == "gpt2"
        self.parameters = {n: weights(n, s) for n, s in self.shapes().items()}
        names = list(self.parameters)
        kinds = {n: "embeddings" if is_embedding(n) else "vectors" if self.parameters[n].dim() == 1 else "matrices" for n in names}
        self.moves = []
        for kind in ("matrices", "embeddings", "vectors"):
            make, numbers = recipe[kind]
            own = {n: p for n, p in self.parameters.items() if kinds[n] == kind}
            self.moves.append((list(own), make(**numbers)(own)))
        sets = {"all": names, "matrices": [n for n in names if kinds[n] == "matrices"], "all but embeddings": [n for n in names if kinds[n] != "embeddings"]}
        self.clipped = sets[recipe["clipped"]]
        self.rule = recipe["rule"](**recipe["hyper"], **recipe["fixed"])
        self.tokens = integers("tokens", 400, self.vocabulary)

    def shapes(self):
        c, prefix = self.width, "" if self.gpt2 else "transformer."
        shapes = {("wte.weight" if self.gpt2 else "token_emb.weight"): (self.vocabulary, c), ("wpe.weight" if self.gpt2 else "pos_emb.weight"): (self.block, c)}

        def linear(name, n, o):
            shapes[name + ".weight"] = (n, o) if self.gpt2 else (o, n)
            shapes[name + ".bias"] = (o,)

        def norm(name):
            shapes[name + ".weight"] = shapes[name + ".bias"] = (c,)

        for i in range(self.layers):
            h = f"h.{i}."
            norm(h + "ln_1")
            if self.gpt2:
                linear(h + "attn.c_attn", c, 3 * c)
            else:
                for part in ("to_q", "to_k", "to_v"):
                    linear(h + "attn." + part, c, c)
            linear(h + "attn.c_proj", c, c)
            norm(h + "ln_2")
            linear(h + "mlp.c_fc", c, 4 * c)
            linear(h + "mlp.c_proj", 4 * c, c)
        norm("ln_f")
        return {prefix + n: s for n, s in shapes.items()}

    def loss(self, w, starts):
        p = "" if self.gpt2 else "transformer."
        x = torch.stack([self.tokens[s : s + self.block] for s in starts.tolist()])
        target = torch.stack([self.tokens[s + 1 : s + 1 + self.block] for s in starts.tolist()])

        def linear(name, h):
            weight = w[p + name + ".weight"]
            return h @ (weight if self.gpt2 else weight.T) + w[p + name + ".bias"]

        def norm(name, h):
            return F.layer_norm(h, (self.width,), w[p + name + ".weight"], w[p + name + ".bias"], 1e-5)

        def heads(h):
            return h.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        table = w[p + ("wte.weight" if self.gpt2 else "token_emb.weight")]
        h = table[x] + w[p + ("wpe.weight" if self.gpt2 else "pos_emb.weight")]
        for i in range(self.layers):
            a = norm(f"h.{i}.ln_1", h)
            q, k, v = linear(f"h.{i}.attn.c_attn", a).split(self.width, -1) if self.gpt2 else (linear(f"h.{i}.attn.to_{c}", a) for c in "qkv")
            mixed = F.scaled_dot_product_attention(heads(q), heads(k), heads(v), is_causal=True)
            h = h + linear(f"h.{i}.attn.c_proj", mixed.transpose(1, 2).flatten(2))
            wide = F.gelu(linear(f"h.{i}.mlp.c_fc", norm(f"h.{i}.ln_2", h)), approximate="tanh" if self.gpt2 else "none")
            h = h + linear(f"h.{i}.mlp.c_proj", wide)
        return F.cross_entropy((norm("ln_f", h) @ table.T).flatten(0, 1), target.flatten())

    def step(self, k, nudge):
        starts = INPUTS[self.r["form"] + ".starts"][k]
        parts, size = self.r["parts"], self.batch // self.r["parts"]
        total, losses = {n: torch.zeros_like(p) for n, p in self.parameters.items()}, 0.0
        for i in range(parts):
            leaves = {n: p.detach().clone().requires_grad_() for n, p in self.parameters.items()}
            loss = self.loss(leaves, starts[i * size : (i + 1) * size])
            g = nudge(dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())))))
            g |= self.rule(self.parameters, {n: g[n] for n in self.clipped}, None)
            total = {n: t + g[n] / parts for n, t in total.items()}
            losses += loss.item() / parts
        # Twelve steps in all; gpt2 rises over three of them.
        rate = self.r["rate"] * rate_factor(self.r["schedule"], k, 12, 3 if self.gpt2 else None)
        for names, move in self.moves:
            move(rate, {n: total[n] for n in names})
        return losses

    def final(self):
        # A bias of the keys shifts all scores of a query alike: its gradient is rounding, which Adam takes for a sign.
        result = {n: p.detach().clone() for n, p in self.parameters.items()}
        for n, p in result.items():
            if n.endswith("to_k.bias"):
                p.zero_()
            if n.endswith("c_attn.bias"):
                p[self.width : 2 * self.width] = 0
        return result


# --- images: §6.1 -------------------------------------------------------------------------------------------------------
def image_arm(network, rule, hyper, fixed={}, rate=0.01, optimizer=None, rank=None, tunes_momentum=False):
    fixed = fixed | (dict(rank=rank) if rank else {})
    return dict(network=network, rate=rate, rule=rule, hyper=hyper, fixed=fixed, filters=optimizer or (sgd, dict(momentum=0.7716, nesterov=True)), tunes_momentum=tunes_momentum,
        # The authors' second optimizer, for biases and head: Nesterov 0.85, decay 2e-6 for each of 2 000 images over the rate.
        momentum=0.85, decay=2e-6 * 2000, bias_rate=0.053, head_rate=0.67, smoothing=0.2, whitening_epochs=3)  # fmt: skip


IMAGES = {}
for net, rate, tau, limit, delta_limit in (("cifarnet", 0.02, 0.05, 0.8, 4e-3), ("resnet18", 0.05, 0.0075, 0.2, 6e-4)):
    IMAGES |= {
        f"{net}-none": image_arm(net, none, {}, rate=rate, optimizer=(sgd, dict(momentum=0.6, nesterov=True)), tunes_momentum=True),
        f"{net}-norm": image_arm(net, norm, dict(maximumNorm=limit), rate=2 * rate),
        f"{net}-spectral": image_arm(net, const, dict(tau=tau), rate=rate, rank=10),
        f"{net}-ema": image_arm(net, ema, {}, dict(theta=0.9, present=False), rate=rate, rank=10),
        f"{net}-quantile": image_arm(net, quantile, dict(level=0.7), dict(window=100), rate=rate, rank=10),
        f"{net}-muon": image_arm(net, none, {}, rate=0.005, optimizer=(muon_torch, dict(momentum=0.6))),
        f"{net}-mucon": image_arm(net, mucon, dict(tau=tau), dict(momentum=0.6), rate=0.005, rank=10, optimizer=(sgd, dict(momentum=0.0))),
        f"{net}-delta": image_arm(net, delta, dict(maximumNorm=delta_limit), dict(least=1e-3), rate=rate * limit / delta_limit),
        f"{net}-exact": image_arm(net, const, dict(tau=tau), rate=rate),
    } | {f"{net}-rank{r}": image_arm(net, const, dict(tau=tau), rate=rate, rank=r) for r in (1, 5, 10, 20)}
MEAN, DEVIATION = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])


class ImageRun:
    """Filters are held as [O, h, w, C], images as [B, H, W, C]."""

    epochs, per_epoch, divides_logits = 4, 3, True

    def __init__(self, arm, recipe):
        self.r, self.net = recipe, recipe["network"]
        self.widths = [1, 4, 4] if self.net == "cifarnet" else [2, 4, 8, 16]
        self.count = self.per_epoch * (2 if self.net == "cifarnet" else 4)
        side = 25 if self.net == "cifarnet" else 9
        pixels = integers("train.pixels", self.count * side * side * 3, 256).reshape(self.count, side, side, 3)
        self.images, self.labels = (pixels / 255 - MEAN) / DEVIATION, integers("train.labels", self.count, 10)
        is_scale = lambda n, s: len(s) == 1 and n.endswith("weight")
        self.parameters = {n: torch.ones(s) if is_scale(n, s) else weights(n, s) for n, s in self.shapes().items()}
        self.initial = {n: p.clone() for n, p in self.parameters.items()}
        head = "head.weight" if self.net == "cifarnet" else "fc.weight"
        kind = lambda n, p: "filters" if p.dim() == 4 and n != "whiten.weight" else "whitening" if n == "whiten.bias" else "head" if n == head else "biases" if n.endswith("bias") else "fixed"
        total, rates = self.epochs * self.per_epoch, dict(biases=recipe["bias_rate"], head=recipe["head_rate"], whitening=recipe["bias_rate"])
        self.groups = []
        for group in ("filters", "biases", "head", "whitening"):
            own = {n: p for n, p in self.parameters.items() if kind(n, p) == group}
            if not own:
                continue
            if group == "filters":
                make, numbers = recipe["filters"]
                self.groups.append((group, list(own), make(**numbers)(own), recipe["rate"], total))
            else:
                second = sgd(recipe["momentum"], recipe["decay"] / rates[group], nesterov=True)
                length = recipe["whitening_epochs"] * self.per_epoch if group == "whitening" else total
                self.groups.append((group, list(own), second(own), rates[group], length))
        self.rule = recipe["rule"](**recipe["hyper"], **recipe["fixed"])

    def shapes(self):
        shapes = {}

        def norm(name, width):
            shapes[name + ".weight"] = shapes[name + ".bias"] = (width,)

        if self.net == "cifarnet":
            shapes |= {"whiten.weight": (24, 2, 2, 3), "whiten.bias": (24,)}
            channels = 24
            for i, width in enumerate(self.widths, start=1):
                for j, n in ((1, channels), (2, width)):
                    shapes[f"layers.{i}.conv{j}.weight"] = (width, 3, 3, n)
                    norm(f"layers.{i}.norm{j}", width)
                channels = width
            return shapes | {"head.weight": (10, channels)}
        shapes["conv1.weight"] = (self.widths[0], 3, 3, 3)
        norm("bn1", self.widths[0])
        for name, n, width, stride in self.blocks():
            for j, channels in ((1, n), (2, width)):
                shapes[f"{name}.conv{j}.weight"] = (width, 3, 3, channels)
                norm(f"{name}.bn{j}", width)
            if stride > 1 or n != width:
                shapes[f"{name}.downsample.0.weight"] = (width, 1, 1, n)
                norm(f"{name}.downsample.1", width)
        return shapes | {"fc.weight": (10, self.widths[3]), "fc.bias": (10,)}

    def blocks(self):
        channels = self.widths[0]
        for stage, width in enumerate(self.widths, start=1):
            for index in (0, 1):
                yield f"layer{stage}.{index}", channels, width, 2 if stage > 1 and index == 0 else 1
                channels = width

    def logits(self, w, x):
        x = x.permute(0, 3, 1, 2)

        def conv(name, x, **options):
            return F.conv2d(x, w[name + ".weight"].permute(0, 3, 1, 2), **options)

        def norm(name, x):
            epsilon = 1e-12 if self.net == "cifarnet" else 1e-5
            return F.batch_norm(x, None, None, w[name + ".weight"], w[name + ".bias"], training=True, eps=epsilon)

        if self.net == "cifarnet":
            x = F.gelu(conv("whiten", x, bias=w["whiten.bias"]))
            for i in (1, 2, 3):
                x = F.max_pool2d(conv(f"layers.{i}.conv1", x, padding=1), 2)
                x = F.gelu(norm(f"layers.{i}.norm1", x))
                x = F.gelu(norm(f"layers.{i}.norm2", conv(f"layers.{i}.conv2", x, padding=1)))
            x = F.max_pool2d(x, 3).flatten(1)
            return x @ w["head.weight"].T / x.shape[1]
        x = F.relu(norm("bn1", conv("conv1", x, padding=1)))
        for name, _, _, stride in self.blocks():
            y = F.relu(norm(name + ".bn1", conv(name + ".conv1", x, stride=stride, padding=1)))
            y = norm(name + ".bn2", conv(name + ".conv2", y, padding=1))
            if f"{name}.downsample.0.weight" in w:
                x = norm(name + ".downsample.1", conv(name + ".downsample.0", x, stride=stride))
            x = F.relu(y + x)
        x = x.mean((2, 3))
        # In the AirBench setup logits are divided by the head's width, whichever the network.
        return (x @ w["fc.weight"].T + w["fc.bias"]) / (x.shape[1] if self.divides_logits else 1)

    def batch(self, k):
        rows = []
        for image, (down, right, mirrored) in zip(INPUTS[self.net + ".order"][k].tolist(), INPUTS[self.net + ".moves"][k].tolist()):
            x = self.images[image].permute(2, 0, 1)
            size, pad = x.shape[1], 2
            x = F.pad(x[None], (pad, pad, pad, pad), mode="reflect")[0]
            x = x[:, pad + down : pad + down + size, pad + right : pad + right + size]
            rows.append((x.flip(2) if mirrored else x).permute(1, 2, 0))
        return torch.stack(rows), self.labels[INPUTS[self.net + ".order"][k]]

    def step(self, k, nudge):
        x, target = self.batch(k)
        leaves = {n: p.detach().clone().requires_grad_() for n, p in self.parameters.items()}
        loss = F.cross_entropy(self.logits(leaves, x), target, label_smoothing=self.r["smoothing"], reduction="mean")
        g = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        g = nudge(dict(zip(leaves, g)))
        for group, names, move, rate, length in self.groups:
            if k >= length:
                continue
            own = {n: g[n] for n in names}
            move(rate * (1 - k / length), self.rule(self.parameters, own, None) if group == "filters" else own)
        return loss.item()

    def final(self):
        return self.parameters


# --- autoencoder: 2404.08624 ----------------------------------------------------------------------------------------------
LOWERED, ONE_RATE = dict(lowered=True), dict(lowered=False)
VAE = {
    # arm: (learning rate, rule, its hyper-parameters, its other numbers, optimizer, whether the rate is lowered)
    "adam": (0.02, none, {}, {}, (adam, {}), LOWERED),
    "sgd": (0.005, none, {}, {}, PLAIN, LOWERED),
    "gclip": (0.05, lambda maximumNorm: norm(maximumNorm, 0), dict(maximumNorm=4.0), {}, PLAIN, LOWERED),
    "delta-gclip": (0.05, lambda maximumNorm, minimumFactor: delta(maximumNorm, minimumFactor), dict(maximumNorm=4.0, minimumFactor=0.2), {}, PLAIN, LOWERED),
    "spectral-const": (0.05, const, dict(tau=2.0), {}, PLAIN, LOWERED),
    "spectral-quantile": (0.005, quantile, dict(level=0.6), dict(window=100), PLAIN, LOWERED),
    "adam-authors-code": (0.02, none, {}, {}, (adam, {}), ONE_RATE),
    "sgd-authors-code": (0.005, none, {}, {}, PLAIN, ONE_RATE),
}


class VAERun:
    side, hidden, latent, batch, images = 6, 7, 5, 4, 12

    def __init__(self, arm, recipe):
        self.rate, rule, hyper, fixed, (optimizer, numbers), schedule = recipe
        self.rule, self.lowered = rule(**hyper, **fixed), schedule["lowered"]
        n, h, k = self.side**2, self.hidden, self.latent
        layers = {"Encoder.FC_layer_1": (h, n), "Encoder.FC_layer_2": (h, h), "Encoder.FC_mean": (k, h), "Encoder.FC_var": (k, h),
            "Decoder.FC_dec_layer_1": (h, k), "Decoder.FC_dec_layer_2": (h, h), "Decoder.FC_output": (n, h)}  # fmt: skip
        self.parameters = {}
        for name, shape in layers.items():
            self.parameters |= {f"{name}.weight": weights(f"{name}.weight", shape), f"{name}.bias": weights(f"{name}.bias", shape[:1])}
        self.move = optimizer(**numbers)(self.parameters)
        self.pixels = integers("vae.train.pixels", self.images * n, 256).reshape(self.images, n) / 255

    def loss(self, w, x, noise):
        def linear(name, h):
            return h @ w[name + ".weight"].T + w[name + ".bias"]

        h = F.leaky_relu(linear("Encoder.FC_layer_2", F.leaky_relu(linear("Encoder.FC_layer_1", x), 0.2)), 0.2)
        mean, log_var = linear("Encoder.FC_mean", h), linear("Encoder.FC_var", h)
        z = mean + torch.exp(log_var / 2) * noise
        h = F.leaky_relu(linear("Decoder.FC_dec_layer_2", F.leaky_relu(linear("Decoder.FC_dec_layer_1", z), 0.2)), 0.2)
        errors = ((torch.sigmoid(linear("Decoder.FC_output", h)) - x) ** 2).sum()
        return errors - 0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()

    def step(self, k, nudge):
        leaves = {n: p.detach().clone().requires_grad_() for n, p in self.parameters.items()}
        loss = self.loss(leaves, self.pixels[INPUTS["vae.batches"][k]], INPUTS["vae.noise"][k])
        g = nudge(dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())))))
        # Three steps an epoch; a tenth from epochs 1 and 2.
        rate = self.rate * (0.1 ** ((k >= 3) + (k >= 6)) if self.lowered else 1)
        self.move(rate, self.rule(self.parameters, g, None))
        return loss.item() / self.batch

    def final(self):
        return self.parameters


# --- classifiers: 2404.08624 --------------------------------------------------------------------------------------------
def gclip_rule(maximumNorm):  # its code divides by the norm alone
    return norm(maximumNorm, 0)


def classifier_arms(adam_row, sgd_rate, clipped_rate, limit, least, tau, spectral_rate, quantile_rate, level=0.6):
    """Adam (or AdamW), plain SGD, GClip, delta-GClip for each delta, and the spectral clip on plain SGD."""
    name, rate, optimizer = adam_row
    rows = {name: (rate, none, {}, {}, optimizer), "gclip": (clipped_rate, gclip_rule, dict(maximumNorm=limit), {}, PLAIN)}
    rows |= {"sgd": (sgd_rate, none, {}, {}, PLAIN)} if sgd_rate else {}
    for arm, value in least.items():
        rows[arm] = (clipped_rate, lambda maximumNorm, minimumFactor: delta(maximumNorm, minimumFactor), dict(maximumNorm=limit, minimumFactor=value), {}, PLAIN)
    return rows | {
        "spectral-const": (spectral_rate, const, dict(tau=tau), {}, PLAIN),
        "spectral-quantile": (quantile_rate, quantile, dict(level=level), dict(window=100), PLAIN),
    }


# Of each delta a value of its own, around gamma over what norms there are: in some steps it acts, in some it does not.
RESNET_DELTAS = {"delta-gclip-1e-3": 0.2, "delta-gclip-1e-8": 0.15}
RESNET = {arm: row + (LOWERED,) for arm, row in classifier_arms(("adam", 0.002, (adam, {})), 0.002, 0.01, 2.0, RESNET_DELTAS, 2.0, 0.005, 0.002).items()}
VIT_DELTAS = {f"delta-gclip-1e-{k}": 0.5 - 0.04 * k for k in range(2, 7)}
VIT = classifier_arms(("adam", 0.01, (adam, dict(decay=1e-5))), 0.1, 0.2, 0.8, VIT_DELTAS, 0.5, 0.2, 0.1)
ADAMW = ("adamw", 0.01, (adamw, dict(beta1=0.9, beta2=0.999, decay=0.01)))
BERT = classifier_arms(ADAMW, None, 0.2, 1.0, {"delta-gclip": 0.4}, 0.8, 0.2, 0.1)


class GClipResNetRun(ImageRun):
    """Every parameter is moved and clipped; shifts by up to four pixels beyond a black border; mean cross-entropy."""

    divides_logits, net, widths, size, pad = False, "resnet18", [1, 2, 4, 8], 4, 4

    def __init__(self, arm, recipe):
        self.rate, rule, hyper, fixed, (optimizer, numbers), schedule = recipe
        self.rule, self.lowered = rule(**hyper, **fixed), schedule["lowered"]
        side, count = 9, self.per_epoch * self.size
        pixels = integers("resnet.train.pixels", count * side * side * 3, 256).reshape(count, side, side, 3)
        self.pixels, self.labels = pixels / 255, integers("resnet.train.labels", count, 10)
        is_scale = lambda n, s: len(s) == 1 and n.endswith("weight")
        self.parameters = {n: torch.ones(s) if is_scale(n, s) else weights(n, s) for n, s in self.shapes().items()}
        self.move = optimizer(**numbers)(self.parameters)

    def batch(self, k):
        rows, order = [], INPUTS["resnet.order"][k]
        for image, (down, right, mirrored) in zip(order.tolist(), INPUTS["resnet.moves"][k].tolist()):
            x, size, pad = self.pixels[image].permute(2, 0, 1), 9, self.pad
            x = F.pad(x, (pad, pad, pad, pad))[:, pad + down : pad + down + size, pad + right : pad + right + size]
            rows.append(((x.flip(2) if mirrored else x).permute(1, 2, 0) - MEAN) / torch.tensor([0.2023, 0.1994, 0.2010]))
        return torch.stack(rows), self.labels[order]

    def step(self, k, nudge):
        x, target = self.batch(k)
        leaves = {n: p.detach().clone().requires_grad_() for n, p in self.parameters.items()}
        loss = F.cross_entropy(self.logits(leaves, x), target)
        g = nudge(dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())))))
        # Three steps an epoch; a tenth from epochs 1 and 2.
        rate = self.rate * (0.1 ** ((k >= 3) + (k >= 6)) if self.lowered else 1)
        self.move(rate, self.rule(self.parameters, g, None))
        return loss.item()


class TransformerRun:
    """What the two encoders share; one rate throughout."""

    heads, width = 2, 6

    def __init__(self, arm, recipe):
        self.rate, rule, hyper, fixed, (optimizer, numbers) = recipe
        self.rule, self.is_spectral = rule(**hyper, **fixed), rule in (const, quantile)
        is_scale = lambda n: "norm" in n.lower() and n.endswith("weight")
        self.parameters = {n: weights(n, s) + (1 if is_scale(n) else 0) for n, s in self.shapes().items()}
        self.parameters = {n: p.float().double() for n, p in self.parameters.items()}
        self.move = optimizer(**numbers)(self.parameters)

    def attention(self, q, k, v, mask=None):
        split = lambda h: h.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return F.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=mask).transpose(1, 2).flatten(2)

    def step(self, k, nudge):
        leaves = {n: p.detach().clone().requires_grad_() for n, p in self.parameters.items()}
        logits, target = self.logits(leaves, k)
        loss = F.cross_entropy(logits, target)
        g = nudge(dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())))))
        own = {n: x for n, x in g.items() if not self.is_spectral or self.is_clipped(n)}
        self.move(self.rate, g | self.rule(self.parameters, own, None))
        return loss.item()

    def final(self):
        # A bias of the keys shifts all scores of a query alike: its gradient is rounding, which Adam takes for a sign.
        result = {n: p.detach().clone() for n, p in self.parameters.items()}
        for n, p in result.items():
            if n.endswith("key.bias"):
                p.zero_()
            if n.endswith("qkv.bias"):
                p[self.width : 2 * self.width] = 0
        return result


class ViTRun(TransformerRun):
    """Pieces of 32x32 images, resized to 32x32: four patches of 16x16; filters are held as [O, h, w, C], images as [B, H, W, C]."""

    side, grid, images = 32, 14, 12

    def is_clipped(self, name):
        return True

    def shapes(self):
        c = self.width
        shapes = {"cls_token": (1, 1, c), "pos_embed": (1, self.grid**2 + 1, c), "patch_embed.proj.weight": (c, 16, 16, 3), "patch_embed.proj.bias": (c,)}
        for name, shape in (("blocks.0.norm1", (c,)), ("blocks.0.attn.qkv", (3 * c, c)), ("blocks.0.attn.proj", (c, c)), ("blocks.0.norm2", (c,)),
            ("blocks.0.mlp.fc1", (4 * c, c)), ("blocks.0.mlp.fc2", (c, 4 * c)), ("norm", (c,)), ("head", (10, c))):  # fmt: skip
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return shapes

    def batch(self, k):
        if not hasattr(self, "pixels"):
            count = self.images * self.side**2 * 3
            self.pixels = integers("vit.train.pixels", count, 256).reshape(self.images, self.side, self.side, 3).permute(0, 3, 1, 2) / 255
            self.labels = integers("vit.train.labels", self.images, 10)
        rows, order = [], INPUTS["vit.order"][k]
        for image, (top, left, height, width) in zip(order.tolist(), INPUTS["vit.crops"][k].tolist()):
            piece = self.pixels[image, :, top : top + height, left : left + width]
            rows.append(F.interpolate(piece[None], size=(self.side, self.side), mode="bilinear", align_corners=False)[0])
        return torch.stack(rows), self.labels[order]

    def logits(self, w, k):
        x, target = self.batch(k)
        c, rows = self.width, self.side // 16
        linear = lambda n, h: h @ w[n + ".weight"].T + w[n + ".bias"]
        normed = lambda n, h: F.layer_norm(h, (c,), w[n + ".weight"], w[n + ".bias"], 1e-6)
        x = F.conv2d(x, w["patch_embed.proj.weight"].permute(0, 3, 1, 2), w["patch_embed.proj.bias"], stride=16)
        grid = w["pos_embed"][:, 1:].view(1, self.grid, self.grid, c).permute(0, 3, 1, 2)
        scale = (rows + 0.1) / self.grid  # as their code has it
        grid = F.interpolate(grid, mode="bicubic", align_corners=False, scale_factor=(scale, scale))
        places = torch.cat([w["pos_embed"][:, :1], grid.flatten(2).transpose(1, 2)], 1)
        h = torch.cat([w["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1) + places
        q, k_, v = linear("blocks.0.attn.qkv", normed("blocks.0.norm1", h)).split(c, -1)
        h = h + linear("blocks.0.attn.proj", self.attention(q, k_, v))
        h = h + linear("blocks.0.mlp.fc2", F.gelu(linear("blocks.0.mlp.fc1", normed("blocks.0.norm2", h))))
        return linear("head", normed("norm", h)[:, 0]), target


class BERTRun(TransformerRun):
    def is_clipped(self, name):  # the spectral clip leaves embeddings alone, the norms' do not
        return "embeddings" not in name or "LayerNorm" in name

    def shapes(self):
        c, e, b = self.width, "bert.embeddings.", "bert.encoder.layer.0."
        vocabulary, positions = INPUTS["bert.sizes"].tolist()
        shapes = {e + "word_embeddings.weight": (vocabulary, c), e + "position_embeddings.weight": (positions, c), e + "token_type_embeddings.weight": (1, c)}
        layers = {e + "LayerNorm": (c,)} | {f"{b}attention.self.{n}": (c, c) for n in ("query", "key", "value")}
        layers |= {b + "attention.output.dense": (c, c), b + "attention.output.LayerNorm": (c,), b + "intermediate.dense": (4 * c, c)}
        layers |= {b + "output.dense": (c, 4 * c), b + "output.LayerNorm": (c,), "bert.pooler.dense": (c, c), "classifier": (6, c)}
        for name, shape in layers.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return shapes

    def logits(self, w, k):
        tokens, mask = INPUTS["bert.tokens"][k], INPUTS["bert.mask"][k].bool()
        e, b = "bert.embeddings.", "bert.encoder.layer.0."
        linear = lambda n, h: h @ w[n + ".weight"].T + w[n + ".bias"]
        normed = lambda n, h: F.layer_norm(h, (self.width,), w[n + ".weight"], w[n + ".bias"], 1e-12)
        h = F.embedding(tokens, w[e + "word_embeddings.weight"], padding_idx=0)
        h = normed(e + "LayerNorm", h + w[e + "position_embeddings.weight"][: tokens.shape[1]] + w[e + "token_type_embeddings.weight"][0])
        a = b + "attention."
        mixed = self.attention(*(linear(f"{a}self.{n}", h) for n in ("query", "key", "value")), mask[:, None, None, :])
        h = normed(a + "output.LayerNorm", linear(a + "output.dense", mixed) + h)
        h = normed(b + "output.LayerNorm", linear(b + "output.dense", F.gelu(linear(b + "intermediate.dense", h))) + h)
        return linear("classifier", torch.tanh(linear("bert.pooler.dense", h[:, 0]))), INPUTS["bert.labels"][k]


# --- goldens --------------------------------------------------------------------------------------------------------------
def trajectory(make, recipe, arm, steps, seed=None):
    run = make(arm, recipe)
    generator = torch.Generator().manual_seed(seed or 0)

    # Sums of many terms that cancel: what convolutions' and encoders' gradients are held against is wider.
    is_deep = issubclass(make, (ImageRun, TransformerRun))
    # And the shift of a toy's only channel is a sum over all places, most of which cancels.
    error = 2e-5 if make is GClipResNetRun else 1e-5 if issubclass(make, TransformerRun) else 5e-6 if is_deep else 1e-6

    def nudge(gradients):
        if seed is None:
            return gradients
        # Entries that are zero stay so: what a ReLU cuts off is no rounding. A gradient that is small because its summands
        # cancel (of a shift, over all places) rounds like the others.
        whole = sum(float((g**2).sum()) for g in gradients.values()) / sum(g.numel() for g in gradients.values())
        size = {n: max(float((g**2).mean()), whole if is_deep else 0) ** 0.5 for n, g in gradients.items()}
        # But a convolution by tiles leaves rounding where the direct one leaves zeros, which Adam takes for a sign.
        moved = {n: torch.ones_like(g) if make is GClipResNetRun and g.dim() == 4 else g != 0 for n, g in gradients.items()}
        return {n: g + error * size[n] * moved[n] * torch.randn(g.shape, generator=generator) for n, g in gradients.items()}

    losses = [run.step(k, nudge) for k in range(steps)]
    return torch.tensor(losses), {n: p.detach().clone() for n, p in run.final().items()}


def variations(value, place=()):
    """Every number of a recipe, a little changed."""
    if isinstance(value, bool):
        if place[-1] != "tunes_momentum":
            yield place, not value
    elif isinstance(value, (int, float)):
        name = place[-1]
        if name == "epsilon":
            return
        if name in ("rank", "parts"):
            yield place, value - 1 if value > 1 else value + 1
        elif name == "window":
            yield place, 0.9 * value
        elif value == 0:
            yield place, 0.01
        elif name == "decay" and value < 1e-3:
            yield place, 0.0  # ten steps see no part of so little
        elif name == "beta2":
            yield place, 1 - 4 * (1 - value)  # ten steps say little of averages over a thousand
        else:
            yield place, 0.95 * value
    elif isinstance(value, dict):
        for key, own in value.items():
            yield from variations(own, place + (key,))
    elif isinstance(value, tuple):
        for index, own in enumerate(value):
            yield from variations(own, place + (index,))


def varied(recipe, place, value):
    if not place:
        return value
    if isinstance(recipe, tuple):
        return tuple(varied(own, place[1:], value) if i == place[0] else own for i, own in enumerate(recipe))
    return {key: varied(own, place[1:], value) if key == place[0] else own for key, own in recipe.items()}


# What ten toy steps cannot tell; the test of defaults and schedules has these.
def invisible(arm, place, recipe):
    name = place[-1]
    if name == "parts" and not (place[0] == 3):
        return True  # 4 parts of 4 sequences are single ones; a different number is another arm
    if name == "rank":
        # Beyond the smaller side; and an adaptive threshold clips a few values at most.
        sides = {"cifarnet": 4, "resnet18": 16}
        return recipe["fixed"]["rank"] > sides.get(recipe.get("network"), 8) or recipe["rule"] not in (const, mucon)
    if name == "least" and arm == "sgdm-agc":
        return True  # no row is as small
    if name == "window":
        return arm not in STEPS_OF
    if name == "whitening_epochs":
        return recipe["network"] == "resnet18" or "rank" in arm or "exact" in arm
    return False


def differ(a, b):
    return {n: float((sketch(a[n]) - sketch(b[n])).norm()) for n in a}


def arm_goldens(make, arm, recipe, hyper, steps):
    losses, final = trajectory(make, recipe, arm, steps)
    assert torch.isfinite(losses).all(), (arm, losses)
    slack, loss_slack = {n: 0.0 for n in final}, torch.zeros(steps)
    for seed in (1, 2, 3):
        other_losses, other = trajectory(make, recipe, arm, steps, seed)
        slack = {n: max(slack[n], d) for n, d in differ(final, other).items()}
        loss_slack = torch.maximum(loss_slack, (losses - other_losses).abs())
    tolerance = {n: 4 * slack[n] + 2 * 2.0**-24 * (steps + 1) ** 0.5 * float(sketch(final[n]).norm()) for n in final}
    least = (math.inf, "")
    for place, value in variations(recipe):
        if invisible(arm, place, recipe):
            continue
        _, other = trajectory(make, varied(recipe, place, value), arm, steps)
        seen = max(d / max(tolerance[n], 1e-30) for n, d in differ(final, other).items())
        least = min(least, (seen, f"{place} = {value}"))
        if seen <= 10:
            print(f"  {arm}: {place} = {value} is seen by {seen:.1f} tolerances only")
    relative = max(tolerance[n] / float(sketch(final[n]).norm()) for n in final if float(sketch(final[n]).norm()) > 0)
    print(f"{arm:26s} loss {losses[0]:.4f} -> {losses[-1]:.4f}, tolerance <= {relative:.1e}, weakest change {least[0]:.0f} tolerances ({least[1]})", flush=True)
    FAILED.extend([arm] if least[0] <= 10 else [])
    tensors = {f"hyper.{n}": torch.tensor([v]) for n, v in hyper.items()}
    tensors |= {"losses": losses, "losses.slack": loss_slack}
    names = sorted(final)
    tensors["names"] = torch.tensor([fnv1a64("\n".join(names)) >> 1])
    tensors["final"] = torch.cat([sketch(final[n]) for n in names]).to(torch.float32)
    tensors["slack"] = torch.tensor([slack[n] for n in names])
    return tensors


def write(name, table, one):
    path = os.path.join(HERE, f"arms-{name}.safetensors")
    only = sys.argv[1:]
    tensors = {k: v for k, v in load_file(path).items() if k.split("/")[0] in table} if only and os.path.exists(path) else {}
    for arm, recipe in table.items():
        if only and arm not in only:
            continue
        tensors = {k: v for k, v in tensors.items() if k.split("/")[0] != arm}
        tensors |= {f"{arm}/{k}": v.contiguous() for k, v in one(arm, recipe).items()}
    save_file(tensors, path)
    print(f"{path}: {os.path.getsize(path)} bytes")


def mlp(arm, recipe):
    own = {n: recipe[4][1][n] for n in MLP_HYPER_OF_OPTIMIZER.get(arm, [])}
    return arm_goldens(MLPRun, arm, recipe, dict(learningRate=recipe[0]) | recipe[2] | own, STEPS_OF.get(arm, STEPS))


def language(arm, recipe):
    tensors = arm_goldens(LanguageRun, arm, recipe, dict(learningRate=recipe["rate"]) | recipe["hyper"], STEPS)
    steps, total = [0, 1, 50, 99, 100, 150, 199, 200, 700, 2500, 4999], 5000
    factors = [rate_factor(recipe["schedule"], k, total) for k in steps]
    return tensors | {"rate.steps": torch.tensor(steps), "rate.of": torch.tensor([total]), "rate.factors": torch.tensor(factors)}


def images(arm, recipe):
    hyper = dict(learningRate=recipe["rate"]) | recipe["hyper"]
    if recipe["tunes_momentum"]:
        hyper["momentum"] = recipe["filters"][1]["momentum"]
    # Truncations differ from the spectral arm in the clip alone: a few steps are enough.
    return arm_goldens(ImageRun, arm, recipe, hyper, 4 if "rank" in arm or "exact" in arm else STEPS)


def plain_rows(make):
    return lambda arm, recipe: arm_goldens(make, arm, recipe, dict(learningRate=recipe[0]) | recipe[2], STEPS)


FAILED = []

if __name__ == "__main__":
    write("mlp", MLP, mlp)
    write("language", LANGUAGE, language)
    write("images", IMAGES, images)
    for name, table, make in (("vae", VAE, VAERun), ("resnet", RESNET, GClipResNetRun), ("vit", VIT, ViTRun), ("bert", BERT, BERTRun)):
        write(name, table, plain_rows(make))
    assert not FAILED, f"not told apart: {FAILED}"
