# SPDX-License-Identifier: Apache-2.0
"""Golden tensors for bad-token-spectra: spectra of a small GPT-2's gradients as bad tokens take the place of good ones.

    pip install torch safetensors     (made with torch 2.13.0+cpu, safetensors 0.8)
    python3 make_spectra_goldens.py

reads ../../ModelsTests/Goldens/gpt2-weights.safetensors (2 layers, width 32, 4 heads, vocabulary 97) and writes, next
to itself, spectra.safetensors. A batch is B = 4 contexts[T = 10] with a likely and an unlikely token each; the loss is
the mean of -log p(token | context) at the last position; the first b = 0, ..., B samples have their unlikely token.
Of the gradients of the L = 8 matrices, in the order of `matrixNames`:
  context [B, T], good [B], bad [B]
  sigma [b, L, 32]           all singular values
  effective_rank [b, L]     exp of the entropy of sigma^2 / sum sigma^2
  gap [b, L]                 sigma_1 - sigma_2: how well the first vectors are determined
  size [b, L]                the sum of ||G_i||/B over all single gradients that are added or subtracted on the way
  bad_norm, rest_norm [b, L] ||G_bad|| and ||G - G_bad||
  bad_fraction, left, right     u' G_bad v / sigma_1, cos(u, G_bad v), cos(v, G_bad' u), u and v being the first vectors
  threshold [L, 3]           norm, spectral and quantile, such that each clips something
  removed [b - 1, L, 3, 2]   1 - ||P X||^2 / ||X||^2 for X = G_bad and X = G - G_bad, where C(G) = P G
Everything is computed in float64 by autograd and LAPACK's SVD of each gradient, and stored in float64. Every gradient is
that of the batch itself, not a sum of single ones, and clipping is done with the whole P, so little is shared with the
Swift code but the definitions.
"""

import os

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy, gelu, layer_norm, scaled_dot_product_attention

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
LAYERS, WIDTH, HEADS, VOCABULARY = 2, 32, 4, 97
BATCH, LENGTH = 4, 10
MATRICES = [f"h.{i}.{part}.weight" for i in range(LAYERS) for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
WEIGHTS = {
    name: w.double()
    for name, w in load_file(os.path.join(HERE, "../../ModelsTests/Goldens/gpt2-weights.safetensors")).items()
}


def logits(w, tokens):
    """[B, V], of the tokens behind tokens[B, T]."""

    def norm(name, x):
        return layer_norm(x, (WIDTH,), w[name + ".weight"], w[name + ".bias"], 1e-5)

    def linear(name, x):
        return x @ w[name + ".weight"] + w[name + ".bias"]

    def heads(x):
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    x = w["wte.weight"][tokens] + w["wpe.weight"][: tokens.shape[1]]
    for i in range(LAYERS):
        h = f"h.{i}."
        q, k, v = map(heads, linear(h + "attn.c_attn", norm(h + "ln_1", x)).split(WIDTH, -1))
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + linear(h + "attn.c_proj", mixed.transpose(1, 2).flatten(2))
        x = x + linear(h + "mlp.c_proj", gelu(linear(h + "mlp.c_fc", norm(h + "ln_2", x)), approximate="tanh"))
    return norm("ln_f", x)[:, -1] @ w["wte.weight"].T


def gradients(context, token, total=BATCH):
    """Of the sum of -log p over the given samples, divided by `total`."""
    leaves = {name: w.clone().requires_grad_() for name, w in WEIGHTS.items()}
    loss = cross_entropy(logits(leaves, context), token, reduction="sum") / total
    return torch.autograd.grad(loss, [leaves[name] for name in MATRICES])


def kept(sigma, u, tau):
    """P[m, m] with P G = U diag(min(sigma, tau)) V'; u is whole."""
    weight = torch.ones(len(u))
    weight[: len(sigma)] = torch.where(sigma > tau, tau / sigma, 1.0)
    return u @ torch.diag(weight) @ u.T


generator = torch.Generator().manual_seed(33)
context = torch.randint(VOCABULARY, (BATCH, LENGTH), generator=generator)
probabilities = torch.softmax(logits(WEIGHTS, context), -1)
order = probabilities.argsort(-1)
good, bad = order[:, -1], order[:, 3]
print("good", probabilities.gather(1, good[:, None])[:, 0].tolist(), "bad", probabilities.gather(1, bad[:, None])[:, 0].tolist())

singles = {
    kind: [gradients(context[i : i + 1], tokens[i : i + 1]) for i in range(BATCH)]
    for kind, tokens in (("good", good), ("bad", bad))
}
rows = {name: [] for name in ("sigma", "effective_rank", "gap", "size", "bad_norm", "rest_norm", "bad_fraction", "left", "right")}
removed = []
thresholds = None
for count in range(BATCH + 1):
    tokens = torch.cat([bad[:count], good[count:]])
    whole = gradients(context, tokens)
    part = gradients(context[:count], bad[:count]) if count else [torch.zeros_like(g) for g in whole]
    decomposed = [torch.linalg.svd(g) for g in whole]
    if thresholds is None:
        # Below the norm; above and below sigma_2 of the batch of good tokens.
        thresholds = torch.stack(
            [torch.stack([0.9 * s.norm(), 0.9 * s[0], 0.6 * s[1]]) for _, s, _ in decomposed]
        )
    row = {name: [] for name in rows}
    for layer, (g, a, (u, s, vt)) in enumerate(zip(whole, part, decomposed)):
        row["sigma"].append(s)
        p = s**2 / (s**2).sum()
        row["effective_rank"].append(torch.exp(-torch.special.xlogy(p, p).sum()))
        row["gap"].append(s[0] - s[1])
        norms = [singles["good"][i][layer].norm() for i in range(BATCH)]
        norms += [singles[kind][i][layer].norm() for i in range(count) for kind in ("good", "bad")]
        row["size"].append(sum(norms))
        row["bad_norm"].append(a.norm())
        row["rest_norm"].append((g - a).norm())
        image, coimage = a @ vt[0], a.T @ u[:, 0]
        along = u[:, 0] @ image
        row["bad_fraction"].append(along / s[0])
        row["left"].append(along.abs() / image.norm() if count else torch.tensor(torch.nan))
        row["right"].append(along.abs() / coimage.norm() if count else torch.tensor(torch.nan))
        if count:
            tau_norm, *taus = thresholds[layer]
            maps = [min(1.0, float(tau_norm / g.norm())) * torch.eye(len(g))] + [kept(s, u, tau) for tau in taus]
            for p, tau in zip(maps[1:], taus):
                assert torch.allclose(p @ g, u[:, : len(s)] @ torch.diag(s.clamp(max=float(tau))) @ vt[: len(s)], atol=1e-13)
            removed.append(
                torch.stack([
                    torch.stack([1 - ((p @ x).norm() / x.norm()) ** 2 if x.norm() > 1e-9 else torch.tensor(torch.nan) for x in (a, g - a)])
                    for p in maps
                ])  # fmt: skip
            )
    for name, values in row.items():
        rows[name].append(torch.stack(values))
    print(f"b = {count}: sigma_1", " ".join(f"{float(s[0]):.3f}" for s in row["sigma"]), "| shares", " ".join(f"{float(x):.2f}" for x in row["bad_fraction"]))

tensors = {name: torch.stack(values) for name, values in rows.items()}
tensors |= {"context": context, "good": good, "bad": bad, "threshold": thresholds}
tensors["removed"] = torch.stack(removed).reshape(BATCH, len(MATRICES), 3, 2)
print(tensors["removed"].nanmean((0, 1)), tensors["gap"].min())
save_file({name: t.contiguous() for name, t in tensors.items()}, os.path.join(HERE, "spectra.safetensors"))
