#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Optional: the suite's clips against PyTorch's and NumPy's, in turn in one run, medians and ratios.

Needs numpy and a CPU build of PyTorch; nothing else in the project does. Usage, after `make bench`:
    python3 Benchmarks/compare.py [--rounds 3] [--out compare.jsonl]
    python3 Benchmarks/compare.py --gpt [CASE ...]       # training steps of GPTs; only PyTorch is needed
    python3 Benchmarks/compare.py --images [CASE ...]    # training steps of convolutional networks, likewise
    python3 Benchmarks/compare.py --neighbors [CASE ...] # training steps of the neighbouring papers' networks, likewise
    python3 Benchmarks/compare.py --variants [CASE ...]  # the suite's own variants against what they vary
    python3 Benchmarks/compare.py --library [--rounds 3] # libspectralclip against torch in one process, one thread
    python3 Benchmarks/compare.py --check RECORDS_DIR    # of --rng numpy --set steps=2000
"""
import argparse, glob, importlib.metadata, json, os, platform, statistics, subprocess, sys, time

import numpy as np

BENCH = os.path.join(os.path.dirname(__file__), "..", ".build", "release", "suite-bench")


def clip(gradient, tau):
    u, s, vt = np.linalg.svd(gradient)
    return (u * np.minimum(s, tau)) @ vt, s[0]


def trace_regression(seed, steps, methods=("ema", "quantile", 0.05, 0.1, 0.5, 1.0, 5.0)):
    """The squared bias of every method and iteration: trace regression as PAPER_MAP.md's Fig 5a row describes it."""
    rng = np.random.default_rng(seed)
    sensing = []
    for _ in range(10):
        q, _r = np.linalg.qr(rng.standard_normal((3, 3)))
        sensing.append(q @ np.diag(rng.uniform(0.5, 1.5, 3)) @ q.T)
    sensing = np.array(sensing)
    truth = rng.standard_normal((3, 3))
    targets = np.tensordot(sensing, truth, 2) + 0.01 * rng.standard_normal(10)
    rate = 0.5 / (2 * np.mean(np.sum(sensing**2, axis=(1, 2))))
    result = {}
    for method in methods:
        x, average, tau, seen, bias = np.zeros((3, 3)), 0.0, 0.0, [], np.empty(steps)
        for k in range(steps):
            if method == "quantile":
                tau = np.quantile(seen[-100:], 0.85) if seen else np.inf
            elif method != "ema":
                tau = method
            residual = np.tensordot(sensing, x, 2) - targets
            full = 2 * np.tensordot(residual, sensing, 1) / 10
            total = np.zeros((3, 3))
            for _ in range(10):
                i = rng.integers(10)
                total += clip(2 * residual[i] * sensing[i], tau)[0]
            bias[k] = np.linalg.norm(full - total / 10) ** 2
            i = rng.integers(10)
            step, top = clip(2 * residual[i] * sensing[i], tau)
            x = x - rate * step
            seen.append(top)
            if method == "ema":
                average = 0.9 * average + (1 - 0.9) * (top + 1e-8)
                tau = average / (1 - 0.9 ** (k + 1))
        result[method if isinstance(method, str) else f"constant-{method:g}"] = bias
    return result


def check(folder):
    import h5py

    files = sorted(glob.glob(os.path.join(folder, "**", "*.h5"), recursive=True))
    if not files:
        sys.exit(f"{folder}: holds no records")
    expected, worst = {}, 0.0
    for name in files:
        with h5py.File(name) as record:
            seed, method = int(record.attrs["seed"]), record.attrs["method"]
            got = record["bias_sq_monte_carlo"][:]
        if seed not in expected:
            expected[seed] = trace_regression(seed, len(got))
        # Relative to the bias, and for biases that are rounding alone to the square of the unit roundoff.
        error = np.abs(got - expected[seed][method]) / np.maximum(expected[seed][method], 1e-24)
        worst = max(worst, float(error.max()))
    print(f"{len(files)} records, largest relative difference {worst:.2e}")
    sys.exit(0 if worst < 1e-8 else 1)


def median_time(function, repeats):
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def mlp_steps():
    """Steps per second of the paper's MLP in PyTorch, one thread: batch 32, noise with probability 0.1, SGDM."""
    import torch

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(8000, 100, generator=generator)
    batches = [(x[i : i + 32], (x[i : i + 32, 0] * x[i : i + 32, 1] * x[i : i + 32, 2])[:, None]) for i in range(0, 8000, 32)]
    pareto = torch.distributions.Pareto(5.0, 1.1)

    def spectral(tau):
        def clip(parameters):
            for p in parameters:
                u, s, vt = torch.linalg.svd(p.grad, full_matrices=False)
                p.grad = (u * torch.clamp(s, max=tau)) @ vt

        return clip

    def norm(parameters):
        torch.nn.utils.clip_grad_norm_(parameters, 3.7)

    def measure(clip, rate, steps):
        linear = [torch.nn.Linear(100, out, bias=False) for out in (100, 100, 100, 1)]
        layers = [layer for pair in zip(linear, [torch.nn.ReLU() for _ in linear]) for layer in pair][:-1]
        model = torch.nn.Sequential(*layers)
        parameters = list(model.parameters())
        optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9)

        def run(steps):
            for k in range(steps):
                a, b = batches[k % len(batches)]
                optimizer.zero_grad()
                loss = torch.nn.functional.mse_loss(model(a), b)
                loss.backward()
                if torch.rand(()) < 0.1:
                    for p in parameters:
                        u, v = torch.randn(p.shape[0]), torch.randn(p.shape[1])
                        size = pareto.sample() * (1 if torch.rand(()) < 0.5 else -1)
                        p.grad += size * torch.outer(u / u.norm(), v / v.norm())
                if clip:
                    clip(parameters)
                optimizer.step()
                loss.item()

        run(50)
        start = time.perf_counter()
        run(steps)
        return steps / (time.perf_counter() - start)

    return {
        "mlp step, no clip": {1: measure(None, 1e-6, 600)},
        "mlp step, norm clip": {1: measure(norm, 0.0076, 600)},
        "mlp step, spectral clip, tuned": {1: measure(spectral(2.96), 0.004, 200)},
        "mlp step, spectral clip, tau 0.05": {1: measure(spectral(0.05), 0.01, 200)},
        "mlp step, spectral clip, everything": {1: measure(spectral(0.001), 1e-4, 200)},
    }


def peers():
    """The same cases by NumPy and PyTorch: name -> (unit, value by threads)."""
    import torch

    start = time.perf_counter()
    trace_regression(11, 300)
    values = {"trace-regression, numpy": {1: 7 * 300 / (time.perf_counter() - start)}}
    generator = torch.Generator().manual_seed(1)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for m, n, r, p, q in [(768, 3072, 5, 5, 1), (3072, 768, 5, 5, 1), (768, 3072, 64, 10, 2),
                              (3072, 768, 64, 10, 2), (384, 1536, 3, 5, 2), (256, 2304, 10, 5, 1)]:
            g = torch.randn(m, n, generator=generator)

            def truncated():
                u, s, v = torch.svd_lowrank(g, q=r + p, niter=q)
                return g - (u[:, :r] * torch.clamp(s[:r] - 1, min=0)) @ v[:, :r].T

            name = f"randomized clip {m}x{n}, rank {r}, p {p}, q {q}"
            values.setdefault(name, {})[threads] = median_time(truncated, 7)
        for m, n in [(100, 100), (384, 1536)]:
            g = torch.randn(m, n, generator=generator)

            def full():
                u, s, vt = torch.linalg.svd(g, full_matrices=False)
                return (u * torch.clamp(s, max=float(s[3]))) @ vt

            values.setdefault(f"exact clip {m}x{n}, 3 values", {})[threads] = median_time(full, 5)
    return values


def library(rounds):
    """Four 768x3072 matrices on one thread, in one process and in turn: seconds by libspectralclip and by torch, and
    the largest difference of the results. Matrices have 768 values that fall off as 1/i, of which about ten are clipped."""
    import torch

    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "examples", "python"))
    from clip_torch import SpectralClip

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    m, n, tau, rank = 768, 3072, 0.1, 10
    values = 1 / torch.arange(1, m + 1)
    originals = []
    for _ in range(4):
        u, _r = torch.linalg.qr(torch.randn(m, m, generator=generator))
        v, _r = torch.linalg.qr(torch.randn(n, m, generator=generator))
        originals.append((u * values) @ v.T)
    parameters = [torch.nn.Parameter(torch.zeros(m, n)) for _ in originals]
    kinds = {
        "randomized, rank 10": (rank, lambda g: spectral_clip(g, tau, rank, 5, 1)),
        "exact": (0, lambda g: exact_clip(g, tau)),
    }
    for name, (rank, reference) in kinds.items():
        clipper = SpectralClip(parameters, tau=tau, rank=rank)
        ours, theirs = [], []
        for _ in range(rounds):
            for parameter, g in zip(parameters, originals):
                parameter.grad = g.clone()
            start = time.perf_counter()
            clipper.clip_()
            ours.append(time.perf_counter() - start)
            copies = [g.clone() for g in originals]
            start = time.perf_counter()
            clipped = [reference(g) for g in copies]
            theirs.append(time.perf_counter() - start)
        difference = max(float((p.grad - c).abs().max()) for p, c in zip(parameters, clipped))
        print(json.dumps({
            "case": f"4 x {m}x{n}, {name}", "threads": 1, "unit": "s", "suite": min(ours), "torch": min(theirs),
            "ratio": round(min(theirs) / min(ours), 2), "rounds": rounds, "largest_difference": difference,
        }), flush=True)


def exact_clip(gradient, tau):
    import torch

    u, s, vt = torch.linalg.svd(gradient, full_matrices=False)
    return (u * torch.clamp(s, max=tau)) @ vt


GPT2_MATRICES = [(768, 2304), (768, 768), (768, 3072), (3072, 768)]  # of one block, stored [in, out]

# Case -> (steps timed after one to warm up, layers, heads, width, block, batch, vocabulary, dropout, clip, optimizer);
# gpt2-clip has no model: its step is the clip of 48 gradients. PyTorch computes those in bf16 under its autocast.
GPT_CASES = {
    "nanogpt-cpu": (50, 4, 4, 128, 64, 12, 65, 0.0, "norm", "sgdm"),
    "nanogpt-cpu-spectral": (50, 4, 4, 128, 64, 12, 65, 0.0, "spectral", "sgdm"),
    "nanogpt-paper": (2, 6, 6, 384, 256, 64, 65, 0.2, "norm", "sgdm"),
    "gpt2-4x1024": (2, 12, 12, 768, 1024, 4, 50257, 0.0, None, "sgdm"),
    "gpt2-4x64": (4, 12, 12, 768, 64, 4, 50257, 0.0, None, "adamw"),
    "gpt2-clip": (2,),
}
GPT_CASES |= {case + "-bf16": GPT_CASES[case] for case in ("nanogpt-paper", "gpt2-4x1024")}

# The suite's variant -> the same case without it.
VARIANTS = {
    "nanogpt-paper-bf16": "nanogpt-paper",
    "gpt2-4x1024-bf16": "gpt2-4x1024",
    "gpt2-clip-warm": "gpt2-clip",
    "gpt2-clip-warm-0": "gpt2-clip",
}


def spectral_clip(gradient, tau, rank, oversampling, iterations):
    import torch

    u, s, v = torch.svd_lowrank(gradient, q=rank + oversampling, niter=iterations)
    return gradient - (u[:, :rank] * torch.clamp(s[:rank] - tau, min=0)) @ v[:, :rank].T


def gpt_model(layers, heads, width, positions, vocabulary, dropout, gpt2):
    """A GPT with a tied head. gpt2: fused query, key and value and tanh GELU; otherwise three layers and erf GELU."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class InOut(nn.Module):
        """A linear layer whose weight is stored [in, out], as GPT-2's are."""

        def __init__(self, inputs, outputs):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.empty(inputs, outputs)), nn.Parameter(torch.zeros(outputs))

        def forward(self, x):
            return torch.addmm(self.bias, x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])

    linear = InOut if gpt2 else nn.Linear

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
            self.mix = nn.ModuleList([linear(width, 3 * width)] if gpt2 else [linear(width, width) for _ in range(3)])
            self.out, self.up, self.down = linear(width, width), linear(width, 4 * width), linear(4 * width, width)

        def forward(self, x):
            y = self.norms[0](x)
            parts = self.mix[0](y).split(width, -1) if gpt2 else [layer(y) for layer in self.mix]
            q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
            drop = dropout if self.training else 0.0
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=drop, is_causal=True)
            x = x + F.dropout(self.out(y.transpose(1, 2).flatten(2)), dropout, self.training)
            y = F.gelu(self.up(self.norms[1](x)), approximate="tanh" if gpt2 else "none")
            return x + F.dropout(self.down(y), dropout, self.training)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
            self.blocks, self.norm = nn.ModuleList(Block() for _ in range(layers)), nn.LayerNorm(width)
            for p in self.parameters():
                if p.dim() == 2:
                    nn.init.normal_(p, std=0.02)

        def forward(self, tokens, target):
            x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
            x = F.dropout(x, dropout, self.training)
            for block in self.blocks:
                x = block(x)
            logits = F.linear(self.norm(x), self.token.weight)
            return F.cross_entropy(logits.flatten(0, 1), target.flatten())

    return Model()


def training_step(model, batch, optimizer, clip_gradients, is_bf16=False):
    """One step as a function without arguments; it ends when the loss is known."""
    import torch

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            loss = model(*batch)
        loss.backward()
        clip_gradients()
        optimizer.step()
        loss.item()

    return step


def gpt_peer(case, steps, threads):
    """One case in PyTorch, in a process of its own for the sake of the peak memory: the median of the steps' times."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(3)
    if case == "gpt2-clip":
        gradients = [torch.randn(shape) for _ in range(12) for shape in GPT2_MATRICES]

        def step():
            for g in gradients:
                spectral_clip(g, 1.0, 64, 10, 2)

    else:
        _, layers, heads, width, length, batch, vocabulary, dropout, clip, optimizer = GPT_CASES[case]
        gpt2 = case.startswith("gpt2")
        model = gpt_model(layers, heads, width, 1024 if gpt2 else length, vocabulary, dropout, gpt2)
        parameters = list(model.parameters())
        matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
        tokens, target = torch.randint(vocabulary, (2, batch, length))
        if optimizer == "adamw":  # fused: several times faster than the default on a CPU
            optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
        else:
            optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, fused=True)

        def clip_gradients():
            if clip == "norm":
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            elif clip == "spectral":
                for p in matrices:
                    p.grad = spectral_clip(p.grad, 0.01, 3, 5, 2)

        step = training_step(model, (tokens, target), optimizer, clip_gradients, case.endswith("bf16"))

    print(json.dumps({"case": case, "ms_per_step": 1000 * median_time(step, steps)}))


# Case -> (steps timed after one to warm up, network, batch).
IMAGE_CASES = {
    "cifarnet-500": (5, "cifarnet", 500),
    "cifarnet-2000": (2, "cifarnet", 2000),
    "resnet18-128": (4, "resnet18", 128),
    "cifarnet-eighth": (50, "cifarnet", 120),
    "resnet18-eighth": (20, "resnet18", 120),
    "alexnet-plain": (4, "alexnet", 128),
    "alexnet-per-sample": (4, "alexnet", 128),
    "alexnet-quarter-plain": (20, "alexnet", 128),
    "alexnet-quarter-per-sample": (20, "alexnet", 128),
}


def image_model(network, divisor):
    """The authors' CifarNet by its description, or torchvision's ResNet-18 with CIFAR's stem, channels last, narrower by the divisor."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def conv(inputs, outputs, kernel=3, stride=1):
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    class Group(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.conv1, self.conv2 = conv(inputs, outputs), conv(outputs, outputs)
            self.norms = nn.ModuleList(nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4) for _ in range(2))
            for norm in self.norms:
                norm.weight.requires_grad = False

        def forward(self, x):
            x = F.gelu(self.norms[0](F.max_pool2d(self.conv1(x), 2)))
            return F.gelu(self.norms[1](self.conv2(x)))

    class CifarNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.whiten = nn.Conv2d(3, 24, 2)
            self.whiten.weight.requires_grad = False
            a, b = 64 // divisor, 256 // divisor
            self.groups = nn.Sequential(Group(24, a), Group(a, b), Group(b, b))
            self.head = nn.Linear(b, 10, bias=False)

        def forward(self, x, target):
            x = F.max_pool2d(self.groups(F.gelu(self.whiten(x))), 3).flatten(1)
            return F.cross_entropy(self.head(x) / self.head.in_features, target, label_smoothing=0.2, reduction="sum")

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1, self.conv2 = conv(inputs, outputs, 3, stride), conv(outputs, outputs)
            self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
            same = stride == 1 and inputs == outputs
            self.downsample = nn.Identity() if same else nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)), inplace=True)
            return F.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)

    class ResNet18(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [width // divisor for width in (64, 64, 128, 256, 512)]
            pairs = [(a, b, 1 if a == b else 2) for a, b in zip(widths, widths[1:])]
            self.stem, self.norm = conv(3, widths[0]), nn.BatchNorm2d(widths[0])
            self.blocks = nn.Sequential(*[block for a, b, s in pairs for block in (Block(a, b, s), Block(b, b, 1))])
            self.head = nn.Linear(widths[-1], 10)

        def forward(self, x, target):
            x = self.blocks(F.relu(self.norm(self.stem(x)), inplace=True))
            return F.cross_entropy(self.head(x.mean((2, 3))), target)

    return (CifarNet() if network == "cifarnet" else ResNet18()).to(memory_format=torch.channels_last)


def alexnet(divisor):
    from torch import nn

    a, b, c, d, e, hidden = (width // divisor for width in (64, 192, 384, 256, 256, 4096))
    return nn.Sequential(
        nn.Conv2d(3, a, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(a, b, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(b, c, 3, 1, 1), nn.ReLU(), nn.Conv2d(c, d, 3, 1, 1), nn.ReLU(), nn.Conv2d(d, e, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(), nn.Linear(4 * e, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )


def alexnet_peer(case, steps, threads):
    """AlexNet in PyTorch without a clip, or with every sample's gradient by torch.func, clipped at 0.1 sqrt(k) as in the suite."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(3)
    model = alexnet(4 if "quarter" in case else 1).to(memory_format=torch.channels_last)
    images = torch.randn(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    target = torch.randint(10, (128,))
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01, momentum=0.9, fused=True)
    limits = 0.1 * torch.arange(1, 129).sqrt()

    def loss_of_one(values, x, y):
        return F.cross_entropy(torch.func.functional_call(model, values, (x[None],)), y[None])

    samples = torch.func.vmap(torch.func.grad_and_value(loss_of_one), in_dims=(None, 0, 0), randomness="different")

    chunk = 128 if "quarter" in case else 16  # all samples' gradients at full width would take 12 GB

    def per_sample_step():
        optimizer.zero_grad()
        loss, values = 0.0, {name: p.detach() for name, p in parameters.items()}
        for x, y, limit in zip(images.split(chunk), target.split(chunk), limits.split(chunk)):
            gradients, losses = samples(values, x, y)
            norms = sum(g.flatten(1).square().sum(1) for g in gradients.values()).sqrt()
            weights = (limit / norms).clamp(max=1) / 128
            for name, p in parameters.items():
                part = torch.tensordot(weights, gradients[name], 1).contiguous(
                    memory_format=torch.channels_last if p.dim() == 4 else torch.contiguous_format)
                p.grad = part if p.grad is None else p.grad.add_(part)
            loss += losses.sum()
        optimizer.step()
        (loss / 128).item()

    def loss_of_batch(x, y):
        return F.cross_entropy(model(x), y)

    step = training_step(loss_of_batch, (images, target), optimizer, lambda: None)
    step = per_sample_step if case.endswith("per-sample") else step
    print(json.dumps({"case": case, "ms_per_step": 1000 * median_time(step, steps)}))


def image_peer(case, steps, threads):
    """One case in PyTorch, in a process of its own: the median of the steps' times."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(3)
    _, network, batch = IMAGE_CASES[case]
    if network == "alexnet":
        return alexnet_peer(case, steps, threads)
    model = image_model(network, 8 if "eighth" in case else 1)
    parameters = [p for p in model.parameters() if p.requires_grad]
    filters = [p for p in parameters if p.dim() == 4]
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    target = torch.randint(10, (batch,))
    optimizer = torch.optim.SGD(parameters, lr=0.001, momentum=0.85, nesterov=True, fused=True)

    def clip_gradients():
        if network == "resnet18":
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        else:
            for p in filters:
                p.grad = spectral_clip(p.grad.flatten(1), 1.0, 10, 5, 1).reshape(p.shape).to(memory_format=torch.channels_last)

    step = training_step(model, (images, target), optimizer, clip_gradients)
    print(json.dumps({"case": case, "ms_per_step": 1000 * median_time(step, steps)}))


# Case -> (steps timed after one to warm up).
NEIGHBOR_CASES = {"lstm": (3,), "vae": (200,), "vit-tiny": (8,), "bert-minilm": (3,)}


def neighbor_model(case):
    """The network of a case, from its paper's description; its batch; how its gradient is clipped; its optimizer's factory."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def encoder(width, heads, hidden, layers, first, epsilon):
        layer = nn.TransformerEncoderLayer(width, heads, hidden, 0.0, "gelu", epsilon, batch_first=True, norm_first=first)
        return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    class LSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(10_000, 200)
            self.first, self.second = nn.LSTM(200, 512), nn.LSTM(512, 200)
            self.bias = nn.Parameter(torch.zeros(10_000))
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

        def forward(self, x, target):
            h = self.second(self.first(self.embedding(x))[0])[0]
            return F.cross_entropy(F.linear(h.flatten(0, 1), self.embedding.weight, self.bias), target.flatten())

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(784, 50), nn.LeakyReLU(0.2), nn.Linear(50, 50), nn.LeakyReLU(0.2))
            self.mean, self.log_var = nn.Linear(50, 50), nn.Linear(50, 50)
            self.decoder = nn.Sequential(nn.Linear(50, 50), nn.LeakyReLU(0.2), nn.Linear(50, 50), nn.LeakyReLU(0.2), nn.Linear(50, 784), nn.Sigmoid())

        def forward(self, x):
            h = self.encoder(x)
            mean, log_var = self.mean(h), self.log_var(h)
            z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
            return ((self.decoder(z) - x) ** 2).sum() - 0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.token = nn.Conv2d(3, 192, 16, 16), nn.Parameter(torch.zeros(1, 1, 192))
            self.positions = nn.Parameter(0.02 * torch.randn(1, 197, 192))
            self.blocks = encoder(192, 3, 768, 12, True, 1e-6)
            self.norm, self.head = nn.LayerNorm(192, eps=1e-6), nn.Linear(192, 10)

        def forward(self, x, target):
            grid = self.positions[:, 1:].view(1, 14, 14, 192).permute(0, 3, 1, 2)
            grid = F.interpolate(grid, scale_factor=(4.1 / 14, 4.1 / 14), mode="bicubic")
            places = torch.cat([self.positions[:, :1], grid.flatten(2).transpose(1, 2)], 1)
            x = torch.cat([self.token.expand(len(x), -1, -1), self.patches(x).flatten(2).transpose(1, 2)], 1) + places
            return F.cross_entropy(self.head(self.norm(self.blocks(x)[:, 0])), target)

    class BERT(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(30_522, 384, padding_idx=0)
            self.positions, self.types = nn.Parameter(0.02 * torch.randn(512, 384)), nn.Parameter(0.02 * torch.randn(2, 384))
            self.norm, self.blocks = nn.LayerNorm(384, eps=1e-12), encoder(384, 12, 1536, 6, False, 1e-12)
            self.pooler, self.classifier = nn.Linear(384, 384), nn.Linear(384, 6)

        def forward(self, x, padding, target):
            h = self.norm(self.words(x) + self.positions[: x.shape[1]] + self.types[0])
            h = self.blocks(h, src_key_padding_mask=padding)
            return F.cross_entropy(self.classifier(torch.tanh(self.pooler(h[:, 0]))), target)

    none = lambda parameters: None
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=1.0, fused=True)
    clip = lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, 0.25)
    adam = lambda parameters: torch.optim.Adam(parameters, lr=5e-4, fused=True)
    adamw = lambda parameters: torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.01, fused=True)
    return {
        "lstm": lambda: (LSTM(), tuple(torch.randint(10_000, (2, 70, 256))), clip, sgd),
        "vae": lambda: (VAE(), (torch.rand(100, 784),), none, adam),
        "vit-tiny": lambda: (ViT(), (torch.rand(64, 3, 64, 64), torch.randint(10, (64,))), none, adam),
        "bert-minilm": lambda: (BERT(), (torch.randint(1, 30_522, (32, 64)), torch.zeros(32, 64, dtype=torch.bool), torch.randint(6, (32,))), none, adamw),
    }[case]()


def neighbor_peer(case, steps, threads):
    """One case in PyTorch, in a process of its own: the median of the steps' times. Images come from torch.rand, uncropped."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(3)
    model, batch, clip, optimizer = neighbor_model(case)
    parameters = list(model.parameters())
    step = training_step(model, batch, optimizer(parameters), lambda: clip(parameters))
    print(json.dumps({"case": case, "ms_per_step": 1000 * median_time(step, steps)}))


def timed(command, environment):
    """The time that a process prints, and its peak memory in MB."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    unit = 1 if sys.platform == "darwin" else 1024
    return json.loads(output)["ms_per_step"], usage.ru_maxrss * unit / 1e6


def variant_lines(cases, rounds, environment, threads=2):
    """Each variant and what it varies in turn, all by the suite."""
    for case in cases:
        def run(name):
            return timed([BENCH, "training-step", "--case", name, "--threads", str(threads), "--steps", "2"], environment)

        runs = [(run(case), run(VARIANTS[case])) for _ in range(rounds)]
        (a, own), (b, other) = ([statistics.median(values) for values in zip(*side)] for side in zip(*runs))
        yield {"case": case, "against": VARIANTS[case], "unit": "ms/step", "suite": a, "peer": b, "peer_threads": threads, "times_faster": b / a,
               "rounds": rounds, "suite_peak_mb": own, "peer_peak_mb": other}


def step_lines(cases, rounds, environment, threads=2):
    """Suite and PyTorch in turn, a process for each and every round."""
    for case in cases:
        steps = (GPT_CASES | IMAGE_CASES | NEIGHBOR_CASES)[case][0]
        ours = [BENCH, "training-step", "--case", case, "--threads", str(threads), "--steps", str(steps)]
        theirs = [sys.executable, __file__, "--peer", case, str(steps), str(threads)]
        runs = [(timed(ours, environment), timed(theirs, environment)) for _ in range(rounds)]
        (a, own), (b, other) = ([statistics.median(values) for values in zip(*side)] for side in zip(*runs))
        yield {"case": case, "unit": "ms/step", "suite": a, "peer": b, "peer_threads": threads, "times_faster": b / a, "rounds": rounds,
               "suite_peak_mb": own, "peer_peak_mb": other}


def provenance():
    """Where and of what the numbers are: CPU, its widest vectors, versions."""
    cpu = {}
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            cpu = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in file)}
    commit = subprocess.run(["git", "-C", os.path.dirname(BENCH), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    flags = cpu.get("flags", "").split()
    return {
        "cpu": f"{cpu.get('model name', platform.processor())}, family {cpu.get('cpu family')}, model {cpu.get('model')}",
        "vectors": next((name for name in ("avx512f", "avx2") if name in flags), platform.machine()),
        "torch": importlib.metadata.version("torch"),
        "commit": commit.stdout.strip(),
    }


def report(lines, path):
    """Each line as it comes, and as JSON into a file where one is asked for, in the place of an older one of the same case."""
    kept, origin = [], provenance()
    if path and os.path.exists(path):
        with open(path) as file:
            kept = [json.loads(line) for line in file]
    for line in lines:
        entry, name = line | origin, [line.get(key) for key in ("case", "against", "peer_threads")]
        places = [i for i, old in enumerate(kept) if [old.get(key) for key in ("case", "against", "peer_threads")] == name]
        if places:
            kept[places[0]] = entry
        else:
            kept.append(entry)
        threads = line["peer_threads"]
        memory = f"   peak {line['suite_peak_mb']:.0f} and {line['peer_peak_mb']:.0f} MB" if "peer_peak_mb" in line else ""
        print(f"{line['case']:48s} suite {line['suite']:10.4g} {line['unit']:12s} peer ({threads} thread{'s' if threads > 1 else ''}) "
              f"{line['peer']:10.4g}   {line['times_faster']:6.1f} times faster{memory}", flush=True)
        if path:
            with open(path, "w") as out:
                out.writelines(json.dumps(entry) + "\n" for entry in kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out")
    parser.add_argument("--mlp", action="store_true", help="only the steps of the MLP")
    parser.add_argument("--gpt", nargs="*", metavar="CASE", help="only training steps of GPTs: " + ", ".join(GPT_CASES))
    parser.add_argument("--images", nargs="*", metavar="CASE", help="only training steps of convolutional networks: " + ", ".join(IMAGE_CASES))
    parser.add_argument("--neighbors", nargs="*", metavar="CASE", help="only training steps of the neighbouring papers' networks: " + ", ".join(NEIGHBOR_CASES))
    parser.add_argument("--variants", nargs="*", metavar="CASE", help="only the suite's own variants: " + ", ".join(VARIANTS))
    parser.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--library", action="store_true", help="only libspectralclip against torch, in one process")
    parser.add_argument("--check", metavar="RECORDS_DIR")
    options = parser.parse_args()
    if options.library:
        return library(options.rounds)
    if options.check:
        check(options.check)
    if options.peer:
        case, steps, threads = options.peer
        peer = next(peer for known, peer in ((GPT_CASES, gpt_peer), (IMAGE_CASES, image_peer), (NEIGHBOR_CASES, neighbor_peer)) if case in known)
        return peer(case, int(steps), int(threads))
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    kinds = ((options.gpt, GPT_CASES, step_lines), (options.images, IMAGE_CASES, step_lines), (options.neighbors, NEIGHBOR_CASES, step_lines),
             (options.variants, VARIANTS, variant_lines))
    for cases, known, lines in kinds:
        if cases is not None:
            unknown = [case for case in cases if case not in known]
            if unknown:
                parser.error(f"no such case: {', '.join(unknown)}")
            return report(lines(cases or known, options.rounds, environment), options.out)
    ours, theirs = {}, {}
    for _ in range(options.rounds):
        for line in subprocess.run([BENCH] + (["mlp step"] if options.mlp else []), env=environment, check=True, capture_output=True, text=True).stdout.splitlines():
            case = json.loads(line)
            ours.setdefault(case["case"], (case["unit"], []))[1].append(case["median"])
        for name, by_threads in (({} if options.mlp else peers()) | mlp_steps()).items():
            for threads, value in by_threads.items():
                theirs.setdefault((name, threads), []).append(value)
    lines = []
    for (name, threads), values in theirs.items():
        unit, mine = ours[name]
        a, b = statistics.median(mine), statistics.median(values)
        ratio = a / b if unit.endswith("/s") else b / a
        lines.append({"case": name, "unit": unit, "suite": a, "peer": b, "peer_threads": threads, "times_faster": ratio, "rounds": options.rounds})
    report(lines, options.out)


if __name__ == "__main__":
    main()
