"""Writes the golden files of package vision: what Pillow and torchvision do.

    /usr/bin/python3 golden.py

Pictures are made by a formula, so that only checksums of results need keeping:
byte i of [H][W][3] is (i*2654435761 mod 2^32) >> 13, modulo 256.
"""

import io
import json
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
import torchvision
from PIL import Image, ImageOps
from PIL import features
from torchvision import transforms as T

HERE = Path(__file__).parent
BILINEAR, BICUBIC = T.InterpolationMode.BILINEAR, T.InterpolationMode.BICUBIC


def formula(w, h):
    i = np.arange(w * h * 3, dtype=np.uint64)
    b = (i * 2654435761 & 0xFFFFFFFF) >> 13
    return Image.fromarray(b.astype(np.uint8).reshape(h, w, 3))


def result(im):
    return {"size": im.size, "crc": zlib.crc32(im.tobytes())}


def resizes(rng):
    sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100, 127, 224, 299]
    cases = [(10000, 1, 1, 1), (1, 10000, 2, 1), (9001, 3, 3, 17), (5, 9001, 8, 2), (640, 480, 77, 60)]
    for _ in range(300):
        w, h, w2, h2 = (rng.choice(sizes) for _ in range(4))
        if rng.random() < 0.1:
            w2 = w
        if rng.random() < 0.1:
            h2 = h
        cases.append((w, h, w2, h2))
    for w, h, w2, h2 in cases:
        im = formula(w, h)
        for name, f in ("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC):
            yield {"from": [w, h], "filter": name, **result(im.resize((w2, h2), f))}


def crops(rng):
    """Resize(int) and CenterCrop(int), as an evaluation transform has them."""
    for _ in range(200):
        w, h = rng.randint(1, 300), rng.randint(1, 300)
        if max(w, h) > 20 * min(w, h):
            continue
        resize, crop = rng.randint(1, 120), rng.randint(1, 120)
        name, f = rng.choice([("bilinear", BILINEAR), ("bicubic", BICUBIC)])
        im = T.Resize(resize, f)(formula(w, h))
        out = T.CenterCrop(crop)(im)
        yield {"from": [w, h], "filter": name, "resize": resize, "shorter": im.size,
               "crop": crop, **result(out)}


def center_crops(rng):
    """CenterCrop((h, w)) alone, larger than the image as well."""
    for _ in range(200):
        w, h, cw, ch = (rng.randint(1, 40) for _ in range(4))
        yield {"from": [w, h], **result(T.CenterCrop((ch, cw))(formula(w, h)))}


def normalized():
    """The tensor of a 4x3 picture, as [H][W][3]."""
    for mean, std in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3):
        t = T.Normalize(mean, std)(T.ToTensor()(formula(17, 16)))
        yield {"from": [17, 16], "mean": mean, "std": std,
               "values": [float(v) for v in t.permute(1, 2, 0).flatten()]}


def scene(w, h):
    """Slopes, an edge and some texture."""
    y, x = np.mgrid[0:h, 0:w]
    r = 255 * x / w
    g = 255 * y / h + 20 * np.sin(x * 0.9)
    b = np.where((x - w / 2) ** 2 + (y - h / 2) ** 2 < (h / 3) ** 2, 220, 60) + 20 * np.cos(y * 0.7)
    return Image.fromarray(np.stack([r, g, b], -1).clip(0, 255).astype(np.uint8))


def save(name, im, **how):
    im.save(HERE / "images" / name, **how)


def exif(orientation):
    e = Image.Exif()
    e[0x0112] = orientation
    return e


def jpegs():
    small, big = scene(23, 17), scene(40, 30)
    for ratio, name in enumerate(("444", "422", "420")):
        save(f"{name}.jpg", big, subsampling=ratio, quality=90)
        save(f"{name}_odd.jpg", small, subsampling=ratio, quality=75)
    save("narrow_420.jpg", scene(3, 11), subsampling=2, quality=85)
    save("grey.jpg", big.convert("L"), quality=85)
    save("progressive.jpg", big, progressive=True, quality=80)
    save("cmyk.jpg", big.convert("CMYK"), quality=90)
    for o in range(1, 9):
        save(f"exif{o}.jpg", small, exif=exif(o), subsampling=0, quality=90)


def pngs():
    rgb = scene(23, 17)
    alpha = rgb.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    save("grey.png", rgb.convert("L"))
    save("grey_alpha.png", alpha.convert("LA"))
    save("palette.png", rgb.quantize(30))
    save("palette_2bit.png", rgb.quantize(4), bits=2)
    save("palette_trns.png", rgb.quantize(16), transparency=3)
    save("palette_trns_all.png", rgb.quantize(16), transparency=bytes(range(0, 240, 15)))
    save("rgb.png", rgb)
    save("rgb_trns.png", rgb, transparency=rgb.getpixel((3, 3)))
    save("grey_trns.png", rgb.convert("L"), transparency=77)
    save("rgba.png", alpha)
    save("bits.png", rgb.convert("1"))
    save("exif6.png", rgb, exif=exif(6))
    deep = (np.asarray(rgb).astype(np.uint16) * 257) ^ 0x35
    write_png("rgb16.png", deep, 16, 2)
    write_png("rgba16.png", np.dstack([deep, deep[:, :, 0]]), 16, 6)
    write_png("interlaced.png", np.asarray(rgb), 8, 2, interlaced=True)


# 16-bit grey is left out: Pillow's convert("RGB") clips it at 255.
def write_png(name, a, bits, kind, interlaced=False):
    """What Pillow cannot write: 16-bit channels and Adam7."""
    def chunk(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
    passes = [a]
    if interlaced:
        passes = [a[y::dy, x::dx] for x, y, dx, dy in (
            (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))]
    rows = b"".join(b"\0" + r.astype(f">u{bits // 8}").tobytes() for p in passes for r in p if r.size)
    head = struct.pack(">IIBBBBB", a.shape[1], a.shape[0], bits, kind, 0, 0, int(interlaced))
    (HERE / "images" / name).write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def others():
    rgb = scene(23, 17)
    alpha = rgb.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    save("plain.gif", rgb.quantize(64))
    save("interlaced.gif", rgb.quantize(64), interlace=1)
    # The frame's descriptor follows a 13-byte header and the palette.
    gif = bytearray((HERE / "images" / "plain.gif").read_bytes())
    gif[6:10] = struct.pack("<HH", 30, 25)
    at = gif.index(b",\0\0\0\0" + struct.pack("<HH", 23, 17))
    gif[at + 1:at + 5] = struct.pack("<HH", 5, 4)
    (HERE / "images" / "small_frame.gif").write_bytes(gif)
    save("transparent.gif", rgb.quantize(16), transparency=5)
    save("lossless.webp", rgb, lossless=True)
    save("lossless_alpha.webp", alpha, lossless=True, exact=True)
    save("lossy.webp", rgb, quality=80)
    save("lossy_even.webp", scene(40, 30), quality=60)
    save("lossy_narrow.webp", scene(1, 9), quality=90)
    save("lossy_alpha.webp", alpha, quality=80)
    save("exif6.webp", rgb, lossless=True, exif=exif(6))
    save("rgb.bmp", rgb)
    save("grey.bmp", rgb.convert("L"))
    save("palette.bmp", rgb.quantize(30))
    for c in "raw", "tiff_lzw", "tiff_adobe_deflate", "packbits":
        save(f"{c}.tiff", rgb, compression=c)
    save("grey.tiff", rgb.convert("L"))
    save("rgba.tiff", alpha)
    save("exif6.tiff", rgb, tiffinfo={0x0112: 6})


def decoded():
    """Every file's pixels, one after the other in a compressed file."""
    pixels = io.BytesIO()
    names = []
    for path in sorted((HERE / "images").iterdir()):
        im = Image.open(path)
        if im.format != "TIFF":  # turned by load()
            im = ImageOps.exif_transpose(im)
        im = im.convert("RGB")
        names.append({"file": path.name, "size": im.size})
        pixels.write(im.tobytes())
    (HERE / "decoded.z").write_bytes(zlib.compress(pixels.getvalue(), 9))
    return names


def main():
    rng = random.Random(1)
    (HERE / "images").mkdir(exist_ok=True)
    jpegs()
    pngs()
    others()
    golden = {
        "versions": {"pillow": PIL.__version__, "torchvision": torchvision.__version__,
                     "libjpeg": features.version("jpg"), "libwebp": features.version("webp")},
        "resize": list(resizes(rng)),
        "crop": list(crops(rng)),
        "center_crop": list(center_crops(rng)),
        "normalize": list(normalized()),
        "decode": decoded(),
    }
    lines = []
    for key, value in golden.items():
        if isinstance(value, list):
            value = "[\n" + ",\n".join(json.dumps(v) for v in value) + "\n]"
        else:
            value = json.dumps(value)
        lines.append(f"{json.dumps(key)}: {value}")
    (HERE / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
