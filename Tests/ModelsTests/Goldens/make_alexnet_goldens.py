# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for AlexNet and its per-sample clipping, from a CPU build of PyTorch.

    pip install torch numpy safetensors     (made with torch 2.13.0+cpu, numpy 2.4, safetensors 0.8)
    python3 make_alexnet_goldens.py

writes, next to itself, for a network of widths 8, 24, 24, 16, 24 and 18, 14:
  alexnet-weights.safetensors      the state dict
  alexnet-batch.safetensors        input [B, 3, 32, 32] and target [B]
  alexnet-gradients.safetensors    loss, logits, the gradient of every parameter, the norm of every sample's own gradient over
                                   all parameters [B], and under "clipped." the mean of the samples' gradients clipped at
                                   SCALE k^(1/MOMENT), k = 1 … B (2605.02701)
  alexnet-trajectory.safetensors   10 steps of SGD with momentum 0.9 on these clipped gradients: losses and final weights
No dropout. Everything is computed in float64 from float32 weights and stored as float32, losses and norms as float64. The
network is torch.nn's own layers in torchvision's two Sequentials; every sample's gradient comes from a backward pass of its own. The
seed is such that no maximum or ReLU of the first step is decided by rounding.
"""

import os

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
WIDTHS, HIDDEN, BATCH, STEPS = (8, 24, 24, 16, 24), (18, 14), 6, 10
SCALE, MOMENT, RATE = 12.0, 2.0, 0.01


def to32(x):
    return x.to(torch.float32).to(torch.float64)


def save(tensors, name):
    def stored(key, value):
        return value.to(torch.float32) if value.is_floating_point() and not key.startswith(("loss", "norms")) else value

    save_file({k: stored(k, v.detach()).contiguous() for k, v in tensors.items()}, os.path.join(HERE, name))


class AlexNet(nn.Module):
    def __init__(self):
        super().__init__()
        a, b, c, d, e = WIDTHS
        self.features = nn.Sequential(
            nn.Conv2d(3, a, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(a, b, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
            nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.0), nn.Linear(4 * e, HIDDEN[0]), nn.ReLU(), nn.Dropout(0.0), nn.Linear(*HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN[1], 10),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def sample_gradients(model, x, y):
    """A list of gradients for every sample, and the norms over all parameters."""
    gradients = [torch.autograd.grad(F.cross_entropy(model(x[k : k + 1]), y[k : k + 1]), list(model.parameters())) for k in range(len(y))]
    return gradients, torch.stack([torch.cat([g.flatten() for g in own]).norm() for own in gradients])


def clipped(model, x, y):
    gradients, norms = sample_gradients(model, x, y)
    limits = SCALE * torch.arange(1, len(y) + 1) ** (1 / MOMENT)
    weights = torch.clamp(limits / norms, max=1) / len(y)
    return norms, limits, [sum(w * own[i] for w, own in zip(weights, gradients)) for i in range(len(gradients[0]))]


torch.manual_seed(11)
model = AlexNet()
with torch.no_grad():
    for p in model.parameters():
        p.copy_(to32(2.2 * p))  # more than torch's default, so that no layer's gradient is small
x, y = to32(torch.randn(BATCH, 3, 32, 32)), torch.tensor([3, 0, 9, 3, 7, 1])
save(model.state_dict(), "alexnet-weights.safetensors")
save({"input": x, "target": y}, "alexnet-batch.safetensors")

least, value = float("inf"), x
for layer in list(model.features) + [nn.Flatten()] + list(model.classifier):
    if isinstance(layer, nn.ReLU):
        least = min(least, float(value.detach().abs().min() / value.abs().mean()))
    if isinstance(layer, nn.MaxPool2d):
        top = value.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).topk(2).values
        gap = (top[..., 0] - top[..., 1])[top[..., 0] > 0]
        least = min(least, float(gap.min() / value.abs().mean()))
    value = layer(value).detach()
logits = model(x)
loss = F.cross_entropy(logits, y)
loss.backward()
norms, limits, clip = clipped(model, x, y)
print("loss", float(loss), "norms", norms.tolist(), "limits", limits.tolist(), "margin", least)
names = [n for n, _ in model.named_parameters()]
save(
    {"loss": loss.reshape(1), "logits": logits, "norms": norms}
    | {f"gradient.{n}": p.grad for n, p in model.named_parameters()}
    | {f"clipped.{n}": g for n, g in zip(names, clip)},
    "alexnet-gradients.safetensors",
)

optimizer, losses = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9), []
for _ in range(STEPS):
    losses.append(float(F.cross_entropy(model(x), y)))
    for p, g in zip(model.parameters(), clipped(model, x, y)[2]):
        p.grad = g
    optimizer.step()
print("losses", losses)
save({"losses": torch.tensor(losses)} | {f"state.{n}": p for n, p in model.named_parameters()}, "alexnet-trajectory.safetensors")
assert least > 1e-6 and 1 <= int((norms > limits).sum()) < BATCH and ((norms / limits - 1).abs() > 1e-3).all()
