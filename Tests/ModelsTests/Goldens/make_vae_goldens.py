# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for the variational autoencoder, from a CPU build of PyTorch.

    pip install torch numpy safetensors     (made with torch 2.13.0+cpu, numpy 2.4, safetensors 0.8)
    python3 make_vae_goldens.py

writes, next to itself, for a network of 37 inputs, 9 hidden units and 6 codes:
  vae-weights.safetensors      the state dict
  vae-batch.safetensors        input [B, 37] in [0, 1] and noise [B, 6]
  vae-gradients.safetensors    loss, its two parts, and the gradient of every parameter
  vae-trajectory.safetensors   10 steps of Adam, 1e-3, each with noise [10, B, 6] of its own: losses and final weights
Everything is computed in float64 from float32 weights and stored as float32, losses as float64. The network is written
here from its description (arXiv 2404.08624: LeakyReLU 0.2, sigmoid, sum of squared errors plus divergence), not from
the Swift code. The seed is such that no LeakyReLU is decided by rounding.
"""

import os

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
INPUTS, HIDDEN, LATENT, BATCH, STEPS = 37, 9, 6, 5, 10


def to32(x):
    return x.to(torch.float32).to(torch.float64)


def save(tensors, name):
    tensors = {k: v.to(torch.float32) if not k.startswith("loss") else v for k, v in tensors.items()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, os.path.join(HERE, name))


class Stack(nn.Module):
    def __init__(self, **sizes):
        super().__init__()
        for name, (n, o) in sizes.items():
            setattr(self, name, nn.Linear(n, o))


class VAE(nn.Module):
    least = float("inf")

    def __init__(self):
        super().__init__()
        h = (HIDDEN, HIDDEN)
        self.Encoder = Stack(FC_layer_1=(INPUTS, HIDDEN), FC_layer_2=h, FC_mean=(HIDDEN, LATENT), FC_var=(HIDDEN, LATENT))
        self.Decoder = Stack(FC_dec_layer_1=(LATENT, HIDDEN), FC_dec_layer_2=h, FC_output=(HIDDEN, INPUTS))

    def leaky(self, x):
        size = x.detach().abs()
        self.least = min(self.least, float(size.min() / size.mean()))
        return F.leaky_relu(x, 0.2)

    def forward(self, x, noise):
        e, d = self.Encoder, self.Decoder
        h = self.leaky(e.FC_layer_2(self.leaky(e.FC_layer_1(x))))
        mean, log_var = e.FC_mean(h), e.FC_var(h)
        z = mean + torch.exp(log_var / 2) * noise
        guess = torch.sigmoid(d.FC_output(self.leaky(d.FC_dec_layer_2(self.leaky(d.FC_dec_layer_1(z))))))
        errors = F.mse_loss(guess, x, reduction="sum")
        divergence = torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, torch.exp(log_var / 2)), torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        ).sum()
        return errors, divergence


torch.manual_seed(5)
model = VAE()
with torch.no_grad():
    for p in model.parameters():
        p.copy_(to32(2 * p))  # twice torch's default, so that no part of the loss is small
x = to32(torch.rand(BATCH, INPUTS))
noise = to32(torch.randn(BATCH, LATENT))
save(model.state_dict(), "vae-weights.safetensors")
save({"input": x, "noise": noise}, "vae-batch.safetensors")

errors, divergence = model(x, noise)
(errors + divergence).backward()
print("loss", float(errors), float(divergence))
parts = {"loss": (errors + divergence).reshape(1), "loss.errors": errors.reshape(1), "loss.divergence": divergence.reshape(1)}
save(parts | {f"gradient.{n}": p.grad for n, p in model.named_parameters()}, "vae-gradients.safetensors")

noises = to32(torch.randn(STEPS, BATCH, LATENT))
optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-3), []
for k in range(STEPS):
    optimizer.zero_grad()
    loss = sum(model(x, noises[k]))
    loss.backward()
    optimizer.step()
    losses.append(float(loss))
print("losses", losses)
save({"losses": torch.tensor(losses), "noise": noises} | {f"state.{n}": p for n, p in model.named_parameters()}, "vae-trajectory.safetensors")
assert model.least > 1e-4, model.least
