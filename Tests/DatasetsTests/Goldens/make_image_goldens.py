# SPDX-License-Identifier: Apache-2.0
"""Records PyTorch's augmentation and normalization for ImageBatchesTests.

    pip install numpy torch
    python3 Tests/DatasetsTests/Goldens/make_image_goldens.py > Tests/DatasetsTests/Goldens/images.json

- maps: where the pixels of a numbered image end up after a mirror image, a window of the image padded by 2,
  and the mirror image of odd epochs, in this order;
- views: the average that test-time augmentation takes of a linear model's outputs, levels 0 to 2;
- normalized: images, and the last of them as a network sees it.
"""

import itertools
import json

import numpy as np
import torch
from torch.nn.functional import pad

HEIGHT, WIDTH, PAD = 4, 5, 2
MEAN, DEVIATION = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]


def padded(x, by):
    return pad(x, (by, by, by, by), mode="reflect")


def maps():
    numbered = torch.arange(HEIGHT * WIDTH, dtype=torch.float64).reshape(1, 1, HEIGHT, WIDTH)
    shifts = range(-PAD, PAD + 1)
    for flipped, down, right, odd in itertools.product([False, True], shifts, shifts, [False, True]):
        x = padded(numbered.flip(-1) if flipped else numbered, PAD)
        top, left = PAD + down, PAD + right
        x = x[:, :, top : top + HEIGHT, left : left + WIDTH]
        x = x.flip(-1) if odd else x
        yield {
            "isFlipped": flipped, "rowShift": down, "columnShift": right, "isOdd": odd,
            "map": x.long().flatten().tolist()}


def views():
    rng = np.random.default_rng(1)
    image = torch.tensor(rng.integers(0, 100, (HEIGHT, WIDTH)), dtype=torch.float64)
    weight = torch.tensor(rng.integers(-9, 10, (HEIGHT, WIDTH)), dtype=torch.float64)

    def mirrored(x):
        return ((weight * x).sum() + (weight * x.flip(-1)).sum()) / 2

    wide = padded(image[None, None], 1)[0, 0]
    corners = [mirrored(wide[:HEIGHT, :WIDTH]), mirrored(wide[2:, 2:])]
    return {
        "image": image.long().flatten().tolist(), "weight": weight.long().flatten().tolist(),
        "outputs": [
            float((weight * image).sum()), float(mirrored(image)),
            float((mirrored(image) + sum(corners) / 2) / 2)]}


def normalized(seed, count, height, width, channels):
    rng = np.random.default_rng(seed)
    # Neighbours that agree in part, as in photographs.
    rough = rng.integers(0, 256, (count, height + 1, width + 1, channels))
    pixels = (rough[:, 1:, 1:] + rough[:, :-1, 1:] + 2 * rough[:, 1:, :-1]) // 4
    x = torch.tensor(pixels, dtype=torch.float32) / 255
    x = (x - torch.tensor(MEAN[:channels])) / torch.tensor(DEVIATION[:channels])
    return {
        "height": height, "width": width, "channels": channels,
        "pixels": pixels.flatten().tolist(), "values": x[-1].flatten().tolist()}


print(json.dumps({
    "numpy": np.__version__, "torch": torch.__version__, "height": HEIGHT, "width": WIDTH,
    "mean": MEAN, "deviation": DEVIATION, "maps": list(maps()), "views": views(),
    "normalized": [normalized(2, 4, 6, 7, 3), normalized(3, 3, 7, 6, 1)]},
    separators=(",", ":")).replace('{"isFlipped"', '\n{"isFlipped"'))
