# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for the BERT classifier, from Hugging Face's BertForSequenceClassification with eager attention.

    pip install torch numpy safetensors transformers     (made with torch 2.13.0+cpu, safetensors 0.8, transformers 5.24.0)
    python3 make_bert_goldens.py

writes, next to itself, for 2 layers, 12 channels, 3 heads, 20 tokens, 9 positions, 4 labels:
  bert-weights.safetensors      the state dict
  bert-batch.safetensors        input_ids and attention_mask [4, 7] (padded on the right, on the left, with a hole, not at all), labels [4]
  bert-gradients.safetensors    loss, logits and the gradient of every parameter
  bert-trajectory.safetensors   10 steps of AdamW, 1e-3, decay 0.01: losses and final weights
Everything is computed in float64 from float32 weights without dropout and stored as float32, losses as float64.
"""

import os

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForSequenceClassification

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))


def save(tensors, name):
    tensors = {k: v.to(torch.float32) if v.is_floating_point() and not k.startswith("loss") else v for k, v in tensors.items()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, os.path.join(HERE, name))


torch.manual_seed(4)
config = BertConfig(
    vocab_size=20, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, max_position_embeddings=9,
    hidden_dropout_prob=0, attention_probs_dropout_prob=0, num_labels=4, attn_implementation="eager",
)
model = BertForSequenceClassification(config).double()
with torch.no_grad():
    for name, p in model.named_parameters():
        shift = 1 if name.endswith("LayerNorm.weight") else 0
        p.copy_((0.3 * torch.randn_like(p) + shift).to(torch.float32).to(torch.float64))
ids = torch.randint(1, 20, (4, 7))
mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 0, 1], [1] * 7])
ids[mask == 0] = 0
ids[3, 4] = 0  # a padding token that is not hidden
labels = torch.tensor([3, 0, 1, 2])
save(model.state_dict(), "bert-weights.safetensors")
save({"input_ids": ids, "attention_mask": mask, "labels": labels}, "bert-batch.safetensors")
out = model(input_ids=ids, attention_mask=mask, labels=labels)
out.loss.backward()
print("loss", out.loss.item())
grads = {f"gradient.{n}": torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
save({"loss": out.loss.reshape(1), "logits": out.logits} | grads, "bert-gradients.safetensors")

optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01), []
for _ in range(10):
    optimizer.zero_grad()
    loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print("losses", losses)
save({"losses": torch.tensor(losses, dtype=torch.float64)} | {f"state.{n}": p for n, p in model.named_parameters()}, "bert-trajectory.safetensors")
