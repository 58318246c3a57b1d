# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for the vision transformer, from a CPU build of PyTorch.

    pip install torch numpy safetensors     (made with torch 2.13.0+cpu, numpy 2.4, safetensors 0.8)
    python3 make_vit_goldens.py

writes, next to itself, for a network of 2 blocks, 12 channels, 3 heads, patches of 4 pixels, positions for a 5×5 grid:
  vit-weights.safetensors      the state dict, under timm's names
  vit-batch.safetensors        input [B, 3, 12, 8] in [0, 1] (a grid of 3×2 patches) and target [B]
  vit-gradients.safetensors    loss and the gradient of every parameter, positions interpolated by size
  vit-authors.safetensors      the same, positions interpolated by the scale of arXiv 2404.08624's code, (new side + 0.1)/old side
  vit-trajectory.safetensors   10 steps of Adam, 1e-3: losses and final weights
Everything is computed in float64 from float32 weights and stored as float32, losses as float64. The network is written here from
its description (Dosovitskiy et al. 2021; pre-layer norm with epsilon 1e-6, exact GELU, bias of q, k and v, head on the normed
class token), not from the Swift code.
"""

import os

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEADS, LAYERS, PATCH, GRID, CLASSES, BATCH, STEPS = 12, 3, 2, 4, 5, 4, 3, 10


def to32(x):
    return x.to(torch.float32).to(torch.float64)


def save(tensors, name):
    tensors = {k: v.to(torch.float32) if v.is_floating_point() and not k.startswith("loss") else v for k, v in tensors.items()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, os.path.join(HERE, name))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(WIDTH, eps=1e-6), Attention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH, eps=1e-6), MLP()

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, GRID * GRID + 1, WIDTH))
        self.patch_embed = Patches()
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH, eps=1e-6), nn.Linear(WIDTH, CLASSES)

    def forward(self, images, authors=False):
        x = self.patch_embed.proj(images)
        rows, columns = x.shape[2:]
        grid = self.pos_embed[:, 1:].view(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
        how = dict(scale_factor=((rows + 0.1) / GRID, (columns + 0.1) / GRID)) if authors else dict(size=(rows, columns))
        grid = F.interpolate(grid, mode="bicubic", align_corners=False, **how)
        assert grid.shape[2:] == (rows, columns)
        positions = torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1) + positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


torch.manual_seed(11)
model = ViT()
with torch.no_grad():
    for name, p in model.named_parameters():
        scale = 0.3 if p.dim() > 1 else 0.2
        p.copy_(to32(scale * torch.randn_like(p) + (1 if "norm" in name and name.endswith("weight") else 0)))
x = to32(torch.rand(BATCH, 3, 12, 8))
y = torch.tensor([2, 0, 3])
save(model.state_dict(), "vit-weights.safetensors")
save({"input": x, "target": y}, "vit-batch.safetensors")

for name, authors in [("gradients", False), ("authors", True)]:
    model.zero_grad()
    loss = F.cross_entropy(model(x, authors), y)
    loss.backward()
    print(name, float(loss))
    save({"loss": loss.reshape(1)} | {f"gradient.{n}": p.grad for n, p in model.named_parameters()}, f"vit-{name}.safetensors")

optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-3), []
for _ in range(STEPS):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(float(loss))
print("losses", losses)
save({"losses": torch.tensor(losses)} | {f"state.{n}": p for n, p in model.named_parameters()}, "vit-trajectory.safetensors")
