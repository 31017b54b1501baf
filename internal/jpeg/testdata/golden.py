"""Writes golden.tar.gz and golden.json: JPEG files and the CRC-32 of the RGB
pixels that Pillow decodes them to. Needs Pillow 10.2 or newer.

    python3 golden.py
"""

import gzip
import io
import json
import random
import tarfile
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

HERE = Path(__file__).parent
RATIOS = {"444": 0, "422": 1, "420": 2}

# Pillow writes three ratios. Others come from changing the sampling factors in
# the frame header, and the size so that the number of MCUs stays: that scrambles
# a picture, but its blocks in an MCU are as many. In YCbCr the luma's must be,
# too, as chroma has other Huffman tables. MCU sizes are in blocks.
PATCHES = {
    "440": ("422", (0x12, 0x11, 0x11), (1, 2)),
    "411": ("420", (0x41, 0x11, 0x11), (4, 1)),
    "4_rows": ("420", (0x14, 0x11, 0x11), (1, 4)),
}
CMYK_PATCHES = {
    "m_wide": ("422", (0x11, 0x21, 0x11, 0x11), (2, 1)),
    "y_high": ("422", (0x11, 0x11, 0x12, 0x11), (1, 2)),
    "k_wide": ("422", (0x11, 0x11, 0x11, 0x21), (2, 1)),
    "cross": ("420", (0x21, 0x12, 0x21, 0x11), (2, 2)),
    "all_wide": ("420", (0x21, 0x21, 0x21, 0x11), (2, 1)),
    "m_quarter": ("420", (0x11, 0x41, 0x11, 0x11), (4, 1)),
}
MCU = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}


def scene(w, h, rng, noise=8):
    """Slopes, an edge and some noise."""
    y, x = np.mgrid[0:h, 0:w]
    r = 255 * x / max(w, 8)
    g = 255 * y / max(h, 8) + 20 * np.sin(x * 0.9)
    b = np.where((x - w / 2) ** 2 + (y - h / 2) ** 2 < (h / 3) ** 2, 250, 5)
    a = np.stack([r, g, b], -1) + rng.normal(0, noise, (h, w, 3))
    return Image.fromarray(a.clip(0, 255).astype(np.uint8))


def encode(im, **how):
    out = io.BytesIO()
    im.save(out, "JPEG", **how)
    return out.getvalue()


def frame(data):
    """Offset of the frame header's body."""
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return at + 4


def patch(data, factors, size):
    data, at = bytearray(data), frame(data)
    data[at + 1:at + 3] = size[1].to_bytes(2, "big")
    data[at + 3:at + 5] = size[0].to_bytes(2, "big")
    for i, f in enumerate(factors):
        data[at + 7 + 3 * i] = f
    return bytes(data)


def drop(data, marker):
    """data without its segments of a marker."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2:at + 4], "big")
        if data[at + 1] != marker:
            out += data[at:end]
        at = end
    return out + data[at:]


def rearranged(patched, mode, rng, dice, progressive):
    """A file with other sampling factors, some of its last MCUs cut."""
    ratio, factors, mcu = patched
    count = dice.randint(1, 3), dice.randint(1, 3)
    im = scene(*(8 * n * m for n, m in zip(count, MCU[ratio])), rng).convert(mode)
    # Scans of one component have as many blocks only if no MCU is cut.
    size = [8 * n * m - (0 if progressive else dice.randint(0, 8 * m - 1)) for n, m in zip(count, mcu)]
    return patch(encode(im, subsampling=RATIOS[ratio], quality=85, progressive=progressive), factors, size)


def transformed(cmyk):
    """The file with its inks taken for YCCK."""
    at = cmyk.index(b"Adobe") + 11
    return cmyk[:at] + b"\2" + cmyk[at + 1:]


def cases():
    rng = np.random.default_rng(1)
    dice = random.Random(1)
    for ratio, number in RATIOS.items():
        for n in range(1, 41):
            w, h = n, dice.randint(1, 40)
            yield f"{ratio}_{w}x{h}", encode(scene(w, h, rng), subsampling=number, quality=dice.randint(30, 90))
        yield f"{ratio}_77x50", encode(scene(77, 50, rng), subsampling=number, quality=80)
    for q in (1, 2, 3, 5, 10, 20, 30, 50, 70, 80, 90, 95, 98, 100):
        yield f"quality_{q}", encode(scene(27, 21, rng, 60), subsampling=dice.randint(0, 2), quality=q)
    for name, patched in PATCHES.items():
        for i in range(6):
            yield f"{name}_{i}", rearranged(patched, "RGB", rng, dice, i == 5)
    for name, patched in CMYK_PATCHES.items():
        cmyk = rearranged(patched, "CMYK", rng, dice, False)
        yield f"cmyk_{name}", cmyk
        yield f"ycck_{name}", transformed(cmyk)
    for i in range(12):
        w, h = dice.randint(1, 50), dice.randint(1, 50)
        q = dice.choice((15, 75, 90))
        yield f"grey_{i}", encode(scene(w, h, rng).convert("L"), quality=q, progressive=i % 3 == 2)
        yield f"progressive_{i}", encode(scene(w, h, rng), quality=q, subsampling=i % 3, progressive=True)
        yield f"optimised_{i}", encode(scene(w, h, rng), quality=q, subsampling=i % 3, optimize=True)
        yield f"restart_{i}", encode(scene(w, h, rng), quality=q, subsampling=i % 3, progressive=i % 4 == 3,
                                     restart_marker_blocks=dice.randint(1, 5))
        yield f"restart_rows_{i}", encode(scene(w, h, rng), quality=q, subsampling=i % 3, restart_marker_rows=1)
    for i in range(4):
        w, h = dice.randint(1, 50), dice.randint(1, 50)
        im = scene(w, h, rng)
        rgb = encode(im, quality=90, keep_rgb=True, progressive=i % 2 == 1)
        yield f"rgb_{i}", rgb
        yield f"rgb_by_name_{i}", drop(rgb, 0xEE)
        yield f"adobe_{i}", drop(encode(im, quality=90), 0xE0)
        cmyk = encode(im.convert("CMYK"), quality=90, progressive=i % 2 == 1)
        yield f"cmyk_{i}", cmyk
        yield f"cmyk_unmarked_{i}", drop(cmyk, 0xEE)
        yield f"ycck_{i}", transformed(cmyk)
    # An optimised table of one symbol, and long codes.
    yield "flat", encode(Image.new("RGB", (40, 40), (200, 30, 90)), optimize=True)
    noisy = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    yield "noise", encode(noisy, quality=100, subsampling=0)
    yield "noise_optimised", encode(noisy, quality=97, subsampling=2, optimize=True)


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
    (HERE / "golden.tar.gz").write_bytes(gzip.compress(raw.getvalue(), 9, mtime=0))
    versions = {"pillow": PIL.__version__, "libjpeg": features.version("jpg"), "libjpeg_turbo": features.version("libjpeg_turbo")}
    lines = ",\n".join(json.dumps(g) for g in golden)
    (HERE / "golden.json").write_text(f'{{\n"versions": {json.dumps(versions)},\n"files": [\n{lines}\n]\n}}\n')


main()
