"""Writes trivial.bin: what torchvision's TrivialAugmentWide operations make of an
image with Pillow. Run with a Python that has torchvision and then gzip -9n; it
prints the versions.

The file has the photo (25 x 21 RGB bytes), then for every operation in its order
and the strengths of STRENGTHS the result of the same size.
"""
import math

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms.autoaugment import _apply_op
from torchvision.transforms.functional import InterpolationMode

W, H = 25, 21
OPS = [("Identity", 0), ("ShearX", 0.99), ("ShearY", 0.99), ("TranslateX", 32), ("TranslateY", 32), ("Rotate", 135),
       ("Brightness", 0.99), ("Color", 0.99), ("Contrast", 0.99), ("Sharpness", 0.99), ("Posterize", 0),
       ("Solarize", 0), ("AutoContrast", 0), ("Equalize", 0)]
STRENGTHS = [-30, -17, -3, 1, 12, 30]

y, x = np.mgrid[0:H, 0:W]
photo = np.stack([20 + 5 * x, 200 - 4 * y - x, (x * y) % 190 + 7], -1).clip(0, 255).astype(np.uint8)
out = [photo]
for name, top in OPS:
    for s in STRENGTHS:
        magnitude = top * s / 30
        if name == "Posterize":
            magnitude = 8 - round(abs(s) / 5)
        if name == "Solarize":
            magnitude = 255 - 255 * abs(s) / 30
        out.append(np.asarray(_apply_op(Image.fromarray(photo), name, magnitude, InterpolationMode.NEAREST, None)))
np.concatenate([o.reshape(-1) for o in out]).tofile("trivial.bin")
print("torchvision", torchvision.__version__, "Pillow", PIL.__version__)
