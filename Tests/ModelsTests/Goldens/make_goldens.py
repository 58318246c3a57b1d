# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for the two shapes of GPT, from a CPU build of PyTorch.

    pip install torch safetensors     (made with torch 2.13.0+cpu, safetensors 0.8)
    python3 make_goldens.py

writes, next to itself, for nanogpt (separate query, key and value; erf GELU) and gpt2 (fused [in, out] weights;
tanh GELU), both with a tied head and without dropout,
  SHAPE-weights.safetensors          every parameter
  SHAPE-{batch,short}.safetensors    input and target, whole blocks of tokens and shorter ones
  SHAPE-{,short-}gradients.safetensors  mean cross-entropy, its gradients; logits too for the whole blocks
  SHAPE-trajectory.safetensors       10 steps of PyTorch's AdamW on the batch: losses and the final parameters
Everything is computed in float64 from float32 weights and stored as float32, losses as float64. The models are
written here from their formulas, independently of the Swift code; where the package transformers is there, both
shapes are compared with its GPT-2.

A bias of the keys shifts all scores of a query alike, so its gradient is zero but for rounding, and AdamW turns
that rounding into steps of up to lr in float32. It changes no output, but do not compare it after a trajectory.
"""

import math
import os

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
LAYERS, WIDTH, BATCH, SHORT, STEPS = 2, 32, 3, 5, 10


def to32(x):
    return x.to(torch.float32).to(torch.float64)


def save(tensors, name):
    tensors = {k: v.to(torch.float32) if v.is_floating_point() and not k.startswith("loss") else v for k, v in tensors.items()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(HERE, name))


def layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5) * weight + bias


def gelu_erf(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attention(q, k, v, heads):
    def split(x):
        return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)

    q, k, v = split(q), split(k), split(v)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    hidden = torch.ones(scores.shape[2:], dtype=torch.bool).triu(1)
    mixed = torch.softmax(scores.masked_fill(hidden, -math.inf), -1) @ v
    return mixed.transpose(1, 2).flatten(2)


class Shape:
    """What the two models share; a subclass says how projections are stored and which GELU is used."""

    def start(self, generator):
        def normal(*size, scale, mean=0.0):
            return to32(mean + scale * torch.randn(*size, generator=generator))

        weights = {
            self.token: normal(self.vocabulary, WIDTH, scale=0.3),
            self.position: normal(self.block, WIDTH, scale=0.3),
        }
        for name in [f"{self.prefix}h.{i}.{part}" for i in range(LAYERS) for part in self.parts] + [self.prefix + "ln_f"]:
            part = name.rsplit(".", 1)[-1]
            if part.startswith("ln"):
                weights[name + ".weight"], out = normal(WIDTH, scale=0.1, mean=1.0), WIDTH
            else:
                hidden = 4 * WIDTH
                fan_in = hidden if name.endswith("mlp.c_proj") else WIDTH
                out = hidden if part == "c_fc" else 3 * WIDTH if part == "c_attn" else WIDTH
                weights[name + ".weight"] = self.stored(normal(fan_in, out, scale=fan_in**-0.5))
            weights[name + ".bias"] = normal(out, scale=0.1)
        return weights

    def logits(self, w, tokens):
        def linear(name, x):
            return x @ self.stored(w[name + ".weight"]) + w[name + ".bias"]

        def norm(name, x):
            return layer_norm(x, w[name + ".weight"], w[name + ".bias"])

        x = w[self.token][tokens] + w[self.position][: tokens.shape[1]]
        for i in range(LAYERS):
            h = f"{self.prefix}h.{i}."
            q, k, v = self.heads_input(linear, h + "attn.", norm(h + "ln_1", x))
            x = x + linear(h + "attn.c_proj", attention(q, k, v, self.heads))
            x = x + linear(h + "mlp.c_proj", self.gelu(linear(h + "mlp.c_fc", norm(h + "ln_2", x))))
        return norm(self.prefix + "ln_f", x) @ w[self.token].T

    def loss(self, w, tokens, target):
        logits = self.logits(w, tokens)
        chosen = logits.gather(2, target[..., None])[..., 0]
        return (torch.logsumexp(logits, -1) - chosen).mean(), logits


class NanoGPT(Shape):
    name, vocabulary, block, heads = "nanogpt", 65, 16, 2
    prefix, token, position = "transformer.", "transformer.token_emb.weight", "transformer.pos_emb.weight"
    parts = ["ln_1", "attn.to_q", "attn.to_k", "attn.to_v", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
    gelu = staticmethod(gelu_erf)

    def stored(self, weight):
        return weight.T

    def heads_input(self, linear, attn, x):
        return [linear(attn + part, x) for part in ("to_q", "to_k", "to_v")]


class GPT2(Shape):
    name, vocabulary, block, heads = "gpt2", 97, 12, 4
    prefix, token, position = "", "wte.weight", "wpe.weight"
    parts = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
    gelu = staticmethod(gelu_tanh)

    def stored(self, weight):
        return weight

    def heads_input(self, linear, attn, x):
        return linear(attn + "c_attn", x).split(WIDTH, 2)


def loss_and_gradients(shape, weights, tokens, target):
    leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
    loss, logits = shape.loss(leaves, tokens, target)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return loss.detach(), logits.detach(), dict(zip(leaves, gradients))


def without_keys(name, tensor):
    """A tensor without the part whose gradient vanishes, the bias of the keys; None where nothing is left."""
    if name.endswith("to_k.bias"):
        return None
    if name.endswith("c_attn.bias"):
        return torch.cat([tensor[:WIDTH], tensor[2 * WIDTH :]])
    return tensor


def smallest(gradients):
    """The smallest root mean square of a gradient, those known to vanish left out."""
    sizes = {}
    for name, g in gradients.items():
        rest = without_keys(name, g)
        if rest is None or rest.numel() < g.numel():
            keys = g if rest is None else g[WIDTH : 2 * WIDTH]
            assert keys.abs().max() < 1e-15, name
        if rest is not None:
            sizes[name] = float((rest**2).mean().sqrt())
    name = min(sizes, key=sizes.get)
    return sizes[name], name


def trajectory(shape, weights, tokens, target, dtype=torch.float64):
    parameters = {name: w.to(dtype).clone().requires_grad_() for name, w in weights.items()}
    optimizer = torch.optim.AdamW(parameters.values(), lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss, _ = shape.loss(parameters, tokens, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses), {name: p.detach() for name, p in parameters.items()}


def hugging_face(shape, weights, tokens, target):
    """The same loss by the package transformers, both shapes written in its form."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape.vocabulary, n_positions=shape.block, n_embd=WIDTH, n_layer=LAYERS, n_head=shape.heads,
        activation_function="gelu" if shape.gelu is gelu_erf else "gelu_new",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    state = {}
    for name, w in weights.items():
        name = "transformer." + name.removeprefix("transformer.").replace("token_emb", "wte").replace("pos_emb", "wpe")
        if w.dim() == 2 and ".h." in name:
            w = shape.stored(w)
        state[name] = w
    for name in [name for name in state if ".to_q." in name]:
        parts = [state.pop(name.replace(".to_q.", f".to_{letter}.")) for letter in "qkv"]
        state[name.replace(".to_q.", ".c_attn.")] = torch.cat(parts, -1)
    model = GPT2LMHeadModel(config).to(torch.float64)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name == "lm_head.weight" for name in missing), (missing, unexpected)
    model.tie_weights()
    with torch.no_grad():
        logits = model(tokens).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten()), logits


def files(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = shape.start(generator)
    save(weights, f"{shape.name}-weights.safetensors")

    def tokens(length):
        return [torch.randint(shape.vocabulary, (BATCH, length), generator=generator) for _ in range(2)]

    batch, short = tokens(shape.block), tokens(SHORT)
    for kind, (x, y), whole in (("batch", batch, True), ("short", short, False)):
        save({"input": x, "target": y}, f"{shape.name}-{kind}.safetensors")
        loss, logits, gradients = loss_and_gradients(shape, weights, x, y)
        size, name = smallest(gradients)
        assert size > 1e-4, (name, size)
        print(f"{shape.name} {kind}: loss {loss:.6f}, smallest gradient {size:.1e} ({name})")
        try:
            other, theirs = hugging_face(shape, weights, x, y)
        except ImportError:
            pass
        else:
            error = float((logits - theirs).abs().max())
            assert error < 1e-12 and abs(other - loss) < 1e-12, error
            print(f"  transformers' GPT-2 differs by {error:.1e}")
        tensors = {"logits": logits} if whole else {}
        tensors |= {"loss": loss[None]} | {"gradient." + name: g for name, g in gradients.items()}
        save(tensors, f"{shape.name}-{'' if whole else 'short-'}gradients.safetensors")

    losses, final = trajectory(shape, weights, *batch)
    save({"losses": losses} | {"parameter." + name: p for name, p in final.items()}, f"{shape.name}-trajectory.safetensors")
    # What float32 can be expected to reach.
    losses32, final32 = trajectory(shape, weights, *batch, dtype=torch.float32)
    drift = {}
    for name, p in final.items():
        a, b = without_keys(name, p), without_keys(name, final32[name])
        if a is not None:
            drift[name] = float((a - b).norm() / a.norm())
    name = max(drift, key=drift.get)
    off = float((losses - losses32).abs().max())
    assert drift[name] < 1e-4 and off < 1e-5, (name, drift[name], off)
    print(f"{shape.name}: loss {losses[0]:.4f} -> {losses[-1]:.4f}; in float32 within {off:.1e}, parameters within {drift[name]:.1e} ({name})")


files(NanoGPT(), 31)
files(GPT2(), 32)
