# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for the LSTM language model, from a CPU build of PyTorch.

    pip install torch safetensors     (made with torch 2.13.0+cpu, safetensors 0.8)
    python3 make_lstm_goldens.py

writes, next to itself,
  lstm-weights.safetensors       every parameter, under the names of the authors' code of arXiv 1905.11881
  lstm-batch.safetensors         input and target [T, B]
  lstm-gradients.safetensors     mean cross-entropy and its gradients from a zero state (loss, gradient.NAME), where the two
                                 layers end (hidden.N, cell.N), and the same with activation and temporal regularization
                                 (regularized-loss, regularized-gradient.NAME)
  lstm-trajectory.safetensors    10 steps of SGD on the batch, rate 30, the norm clipped at 0.25, each beginning in the state,
                                 detached, in which the one before ended: losses and the final parameters
Everything is computed in float64 from float32 weights by torch.nn.LSTM and stored as float32, losses as float64.
"""

import os

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY, EMBEDDING, HIDDEN, LENGTH, BATCH, STEPS = 23, 6, 19, 5, 7, 10


def save(tensors, name):
    tensors = {k: v.to(torch.float32) if v.is_floating_point() and "loss" not in k else v for k, v in tensors.items()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, os.path.join(HERE, name))


class Model(torch.nn.Module):
    """The authors' RNNModel without its dropouts."""

    def __init__(self):
        super().__init__()
        widths = [EMBEDDING, HIDDEN, EMBEDDING]
        self.encoder = torch.nn.Embedding(VOCABULARY, EMBEDDING)
        self.rnns = torch.nn.ModuleList(torch.nn.LSTM(a, b) for a, b in zip(widths, widths[1:]))
        self.decoder = torch.nn.Linear(EMBEDDING, VOCABULARY)
        self.decoder.weight = self.encoder.weight

    def forward(self, tokens, states):
        x, ended = self.encoder(tokens), []
        for rnn, state in zip(self.rnns, states):
            x, last = rnn(x, state)
            ended.append(last)
        return self.decoder(x), x, ended

    def start(self):
        return [tuple(torch.zeros(1, BATCH, rnn.hidden_size) for _ in range(2)) for rnn in self.rnns]


def loss_of(model, x, y, states, regularized=False):
    logits, last, ended = model(x, states)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    if regularized:
        loss = loss + 2 * last.pow(2).mean() + (last[1:] - last[:-1]).pow(2).mean()
    return loss, ended


torch.manual_seed(41)
model = Model()
for p in model.parameters():
    p.data = (p.data * (0.3 if p is model.encoder.weight else 1) + 0.05 * torch.randn(p.shape)).to(torch.float32).to(torch.float64)
weights = {name: p.detach().clone() for name, p in model.named_parameters()}
x, y = (torch.randint(VOCABULARY, (LENGTH, BATCH)) for _ in range(2))
save(weights, "lstm-weights.safetensors")
save({"input": x, "target": y.to(torch.int32)}, "lstm-batch.safetensors")

tensors = {}
for prefix, regularized in (("", False), ("regularized-", True)):
    loss, ended = loss_of(model, x, y, model.start(), regularized)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    tensors[prefix + "loss"] = loss[None]
    for (name, _), gradient in zip(model.named_parameters(), gradients):
        tensors[f"{prefix}gradient.{name}"] = gradient
        print(f"{prefix}{name}: {float((gradient**2).mean().sqrt()):.1e}")
        assert (gradient**2).mean().sqrt() > 1e-5, name
for layer, (hidden, cell) in enumerate(ended):
    tensors |= {f"hidden.{layer}": hidden[0], f"cell.{layer}": cell[0]}
save(tensors, "lstm-gradients.safetensors")

states, losses = model.start(), []
optimizer = torch.optim.SGD(model.parameters(), lr=30)
for _ in range(STEPS):
    optimizer.zero_grad()
    loss, ended = loss_of(model, x, y, states)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
    optimizer.step()
    losses.append(loss.item())
    states = [tuple(s.detach() for s in state) for state in ended]
print("losses", losses)
save({"losses": torch.tensor(losses)} | {f"parameter.{n}": p for n, p in model.named_parameters()}, "lstm-trajectory.safetensors")
