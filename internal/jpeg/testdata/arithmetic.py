"""Writes arithmetic.tar.gz and arithmetic.json: JPEG files with arithmetic codes
and the CRC-32 of the RGB pixels that Pillow decodes them to. Needs cjpeg
(libjpeg-turbo-progs) and a Pillow whose libjpeg has arithmetic codes, as
Debian's.

    /usr/bin/python3 arithmetic.py
"""

import gzip
import io
import json
import random
import subprocess
import tarfile
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

HERE = Path(__file__).parent


def scene(w, h, rng, noise):
    """Slopes, an edge and some noise."""
    y, x = np.mgrid[0:h, 0:w]
    r = 255 * x / max(w, 8)
    g = 255 * y / max(h, 8) + 20 * np.sin(x * 0.9)
    b = np.where((x - w / 2) ** 2 + (y - h / 2) ** 2 < (h / 3) ** 2, 250, 5)
    a = np.stack([r, g, b], -1) + rng.normal(0, noise, (h, w, 3))
    return Image.fromarray(a.clip(0, 255).astype(np.uint8))


def cjpeg(im, *args):
    ppm = io.BytesIO()
    im.save(ppm, "PPM")
    return subprocess.run(["cjpeg", "-arithmetic", *args], input=ppm.getvalue(), capture_output=True, check=True).stdout


def cases():
    rng = np.random.default_rng(1)
    dice = random.Random(1)
    for i in range(36):
        im = scene(dice.randint(1, 60), dice.randint(1, 60), rng, dice.choice((0, 8, 60)))
        args = ["-quality", str(dice.choice((3, 25, 75, 90, 100))), "-sample", ("1x1", "2x1", "2x2")[i % 3]]
        name = "sequential"
        if i % 2:
            name = "progressive"
            args += ["-progressive"]
        if i % 5 == 1:
            args += ["-restart", dice.choice(("1", "2B"))]
        if i % 7 == 2:
            args += ["-grayscale"]
        yield f"{name}_{i}", cjpeg(im, *args)
    yield "flat", cjpeg(Image.new("RGB", (70, 50), (200, 30, 90)))
    noisy = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    yield "noise", cjpeg(noisy, "-quality", "100", "-sample", "1x1")
    yield "noise_progressive", cjpeg(noisy, "-quality", "100", "-sample", "1x1", "-progressive")


def main():
    golden = []
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in cases():
            im = Image.open(io.BytesIO(data)).convert("RGB")
            golden.append({"file": name, "size": im.size, "crc": zlib.crc32(im.tobytes())})
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (HERE / "arithmetic.tar.gz").write_bytes(gzip.compress(raw.getvalue(), 9, mtime=0))
    cjpeg_version = subprocess.run(["cjpeg", "-version"], capture_output=True, input=b"").stderr.decode().strip()
    versions = {"pillow": PIL.__version__, "libjpeg_turbo": features.version("libjpeg_turbo"), "cjpeg": cjpeg_version}
    lines = ",\n".join(json.dumps(g) for g in golden)
    (HERE / "arithmetic.json").write_text(f'{{\n"versions": {json.dumps(versions)},\n"files": [\n{lines}\n]\n}}\n')


main()
