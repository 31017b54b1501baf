"""Writes autoaugment.json: what torchvision's RandAugment and ColorJitter make of
images with Pillow. Run with a Python that has torchvision, in this folder.

Images are made by a formula that the test has, too, at sizes with odd sides. What
comes of each is kept as the first 16 digits of the SHA-256 of its RGB bytes.

  rand:    [operation, strength of 0 to 30, magnitude, [hash per image]]
  jitter:  [operation, factor, [hash per image]]
  chain:   operations with factors, one after the other, in an order
  colours: a quarter of a million colours with the hue turned
"""
import hashlib
import json

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import RandAugment, functional as F
from torchvision.transforms.autoaugment import _apply_op
from torchvision.transforms.functional import InterpolationMode

SIZES = [(25, 21), (64, 37), (1, 1), (3, 50), (2, 2)]  # width, height
STRENGTHS = [0, 1, 4, 9, 15, 17, 23, 30]
JITTER = {
    "brightness": (F.adjust_brightness, [0, 0.2, 0.6, 0.9137, 1, 1.4, 2.7]),
    "contrast": (F.adjust_contrast, [0, 0.2, 0.6, 0.9137, 1, 1.4, 2.7]),
    "saturation": (F.adjust_saturation, [0, 0.2, 0.6, 0.9137, 1, 1.4, 2.7]),
    "hue": (F.adjust_hue, [-0.5, -0.31, -0.1, -0.001, 0, 0.02, 0.1, 0.25, 0.5]),
}
CHAINS = [
    [["hue", 0.07], ["contrast", 1.31], ["brightness", 0.77], ["saturation", 1.9]],
    [["saturation", 0.35], ["brightness", 1.22], ["hue", -0.2], ["contrast", 0.66]],
]


def photo(w, h):
    """Half of it smooth, half of it noise."""
    y, x = np.mgrid[0:h, 0:w]
    smooth = np.stack([20 + 5 * x, 200 - 4 * y - x, (x * y) % 190 + 7], -1)
    noise = np.stack([(x * 7919 + y * 104729 + x * y * 31 + c * 65537) % 251 for c in range(3)], -1)
    return np.where(((x // 3 + y // 5) % 2 == 0)[..., None], smooth, noise).clip(0, 255).astype(np.uint8)


def digest(img):
    return hashlib.sha256(np.asarray(img).tobytes()).hexdigest()[:16]


photos = [Image.fromarray(photo(w, h)) for w, h in SIZES]
rand = []
for strength in STRENGTHS:
    for name in RandAugment()._augmentation_space(31, (1, 1)):
        for sign in [1, -1]:
            hashes, first = [], None
            for img in photos:
                # (height, width), as RandAugment.forward gives it
                magnitudes, signed = RandAugment()._augmentation_space(31, (img.height, img.width))[name]
                if sign < 0 and not signed:
                    continue
                magnitude = float(magnitudes[strength].item()) if magnitudes.ndim > 0 else 0.0
                first = sign * magnitude if first is None else first
                hashes.append(digest(_apply_op(img, name, sign * magnitude, InterpolationMode.NEAREST, None)))
            if hashes and (strength == STRENGTHS[0] or magnitudes.ndim > 0):
                rand.append([name, strength, first, hashes])
jitter = [[name, f, [digest(op(img, f)) for img in photos]] for name, (op, factors) in JITTER.items() for f in factors]
chains = []
for chain in CHAINS:
    hashes = []
    for img in photos:
        for name, f in chain:
            img = JITTER[name][0](img, f)
        hashes.append(digest(img))
    chains.append([chain, hashes])
v = np.arange(0, 256, 4, dtype=np.uint8) + np.uint8(1)
colours = Image.fromarray(np.stack(np.meshgrid(v, v, v, indexing="ij"), -1).reshape(512, 512, 3))
turned = [[f, digest(F.adjust_hue(colours, f))] for f in JITTER["hue"][1]]

with open("autoaugment.json", "w") as f:
    def rows(name, rows):
        return json.dumps(name) + ": [\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]"
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "Pillow": PIL.__version__, "numpy": np.__version__}
    parts = ['"versions": ' + json.dumps(versions), '"sizes": ' + json.dumps(SIZES),
             rows("rand", rand), rows("jitter", jitter), rows("chains", chains), rows("colours", turned)]
    f.write("{\n" + ",\n".join(parts) + "\n}\n")
