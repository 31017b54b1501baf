"""Writes forms.tar.gz and forms.json: images in the rarer forms of their formats
and the CRC-32 of the RGB pixels that Pillow decodes them to. Needs Pillow 9.4
with libtiff (Debian's python3-pil), tiffcp (libtiff-tools) and webpmux (webp).

    /usr/bin/python3 forms.py
"""

import gzip
import io
import json
import struct
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageCms, features

HERE = Path(__file__).parent
W, H = 21, 13


def scene(w=W, h=H, turn=0):
    """Slopes, an edge and some texture."""
    y, x = np.mgrid[0:h, 0:w]
    r = 255 * x / w
    g = 255 * y / h + 20 * np.sin(x * 0.9 + turn)
    b = np.where((x - w / 2) ** 2 + (y - h / 2) ** 2 < (h / 3) ** 2, 220, 60) + 20 * np.cos(y * 0.7)
    return Image.fromarray(np.stack([r, g, b], -1).clip(0, 255).astype(np.uint8))


RGB = scene()
GREY = RGB.convert("L")
ALPHA = RGB.copy()
ALPHA.putalpha(Image.linear_gradient("L").resize(RGB.size))
A = np.asarray(RGB).astype(int)


def saved(im, form, **how):
    out = io.BytesIO()
    im.save(out, form, **how)
    return out.getvalue()


def chunk(tag, body):
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(a, bits, kind, interlaced=False, palette=b"", end=True):
    """a is [h, w, channels] of samples; every row has another filter."""
    h, w, n = a.shape
    passes = [a[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [a]
    back = max(1, n * bits // 8)
    raw = bytearray()
    for p in passes:
        if not p.size:
            continue
        before = None
        for i, samples in enumerate(p):
            flat = samples.reshape(-1)
            if bits == 16:
                row = flat.astype(">u2").tobytes()
            elif bits == 8:
                row = flat.astype(np.uint8).tobytes()
            else:
                row = np.packbits([(v >> k) & 1 for v in flat for k in range(bits - 1, -1, -1)]).tobytes()
            before = before or bytes(len(row))
            left = bytes(back) + row
            corner = bytes(back) + before
            f = i % 5
            raw.append(f)
            for j, v in enumerate(row):
                l, u, c = left[j], before[j], corner[j]
                d = min((abs(u - c), 0, l), (abs(l - c), 1, u), (abs(l + u - 2 * c), 2, c))[2]
                raw.append((v - (0, l, u, (l + u) // 2, d)[f]) & 255)
            before = row
    head = struct.pack(">IIBBBBB", w, h, bits, kind, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + chunk(b"IDAT", zlib.compress(bytes(raw), 9))
    return out + chunk(b"IEND", b"") if end else out


def pngs():
    for interlaced in (False, True):
        i = "_interlaced" if interlaced else ""
        for bits in (1, 2, 4, 8, 16):
            grey = (np.asarray(GREY).astype(int) * (2**bits - 1) // 255)[:, :, None]
            yield f"grey{bits}{i}.png", png(grey, bits, 0, interlaced)
            if bits <= 8:
                colours = chunk(b"PLTE", bytes(range(7, 7 + 3 * min(2**bits, 80))))
                yield f"palette{bits}{i}.png", png(grey, bits, 3, interlaced, colours)
            if bits >= 8:
                deep = (A << (bits - 8)) + (A * 7 % 251 if bits == 16 else 0)
                yield f"rgb{bits}{i}.png", png(deep, bits, 2, interlaced)
                yield f"rgba{bits}{i}.png", png(np.dstack([deep, deep[:, :, :1]]), bits, 6, interlaced)
                yield f"grey_alpha{bits}{i}.png", png(deep[:, :, 1:], bits, 4, interlaced)
    dark = (np.asarray(GREY).astype(int) + 40)[:, :, None]  # 16 bits, some below 256
    yield "grey16_dark.png", png(dark, 16, 0)
    whole = png(A, 8, 2, end=False)
    yield "no_iend.png", whole
    yield "no_checksum.png", whole[:-4]
    yield "no_adler.png", whole[:-8]
    yield "narrow.png", png(A[:, :1], 8, 2, True)


def bmp(w, h, bits, data, compression=0, palette=b"", masks=b"", header=40):
    if header == 12:
        head = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, w, h, 1, bits, compression, len(data), 2835, 2835, len(palette) // 4, 0)
        head += masks if header == 40 else masks.ljust(header - 40, b"\0")
    offset = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + head + palette + data


def rows(a, size=2):
    width = a.shape[1] * size
    return b"".join(r.astype(f"<u{size}").tobytes() + b"\0" * (-width % 4) for r in a[::-1])


def packed(a, bits):
    out = b""
    for r in a[::-1]:
        row = np.packbits([(v >> k) & 1 for v in r for k in range(bits - 1, -1, -1)]).tobytes()
        out += row + b"\0" * (-len(row) % 4)
    return out


def rle8(a, end=True):
    """Runs, colours as they are, and a move."""
    out = bytearray()
    for y, row in enumerate(a[::-1]):
        x = 0
        while x < len(row):
            if x == 4 and y % 2:
                n = min(7 + y % 2, len(row) - x)
                out += bytes([0, n]) + bytes(row[x:x + n].tolist()) + b"\0" * (n % 2)
                x += n
                continue
            n = 1
            while x + n < len(row) and n < 255 and row[x + n] == row[x]:
                n += 1
            out += bytes([n, row[x]])
            x += n
        out += b"\0\0"
    return bytes(out) + (b"\0\1" if end else b"")


def rle4(a):
    out = bytearray()
    for y, row in enumerate(a[::-1]):
        x = 0
        while x < len(row):
            n = min(1 + (x + y) % 6, len(row) - x)
            if n == 4:
                out += bytes([0, 4, row[x] << 4 | row[x + 1], row[x + 2] << 4 | row[x + 3]])
            else:
                n = 1
                while x + n < len(row) and n < 255 and row[x + n] == row[x + n % 2 if x + n % 2 < len(row) else x]:
                    n += 1
                second = row[x + 1] if x + 1 < len(row) else 0
                out += bytes([n, row[x] << 4 | second])
            x += n
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def bmps():
    q = np.asarray(RGB.quantize(200))
    p = RGB.quantize(200).getpalette()[:600]
    colours = b"".join(bytes([p[3 * k + 2], p[3 * k + 1], p[3 * k], 0]) for k in range(200))
    r, g, b = A[:, :, 0], A[:, :, 1], A[:, :, 2]
    yield "555.bmp", bmp(W, H, 16, rows(r >> 3 << 10 | g >> 3 << 5 | b >> 3))
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    yield "565.bmp", bmp(W, H, 16, rows(r >> 3 << 11 | g >> 2 << 5 | b >> 3), 3, masks=masks)
    masks = struct.pack("<III", 0x7C00, 0x3E0, 0x1F)
    yield "555_masks.bmp", bmp(W, H, 16, rows(r >> 3 << 10 | g >> 3 << 5 | b >> 3), 3, masks=masks)
    yield "565_v4.bmp", bmp(W, H, 16, rows(r >> 3 << 11 | g >> 2 << 5 | b >> 3), 3, header=108,
                            masks=struct.pack("<IIII", 0xF800, 0x7E0, 0x1F, 0))
    for name, m in {"bgra": (0xFF0000, 0xFF00, 0xFF, 0xFF000000), "rgba": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
                    "abgr": (0xFF000000, 0xFF0000, 0xFF00, 0xFF)}.items():
        v = sum((c.astype(np.int64) * (k // 255)) for c, k in zip((r, g, b, r), m))
        yield f"32_{name}.bmp", bmp(W, H, 32, rows(v, 4), 3, header=108, masks=struct.pack("<IIII", *m))
    yield "32.bmp", bmp(W, H, 32, rows(r << 16 | g << 8 | b, 4))
    yield "rle8.bmp", bmp(W, H, 8, rle8(q), 1, palette=colours)
    yield "rle8_no_end.bmp", bmp(W, H, 8, rle8(q, False), 1, palette=colours)
    q16 = np.asarray(RGB.quantize(16)).astype(int)
    p16 = RGB.quantize(16).getpalette()[:48]
    colours16 = b"".join(bytes([p16[3 * k + 2], p16[3 * k + 1], p16[3 * k], 0]) for k in range(16))
    yield "rle4.bmp", bmp(W, H, 4, rle4(q16), 2, palette=colours16)
    yield "4.bmp", bmp(W, H, 4, packed(q16, 4), palette=colours16)
    yield "1.bmp", bmp(W, H, 1, packed(q16 & 1, 1), palette=colours16[:8])
    yield "few_colours.bmp", bmp(W, H, 8, rows(q, 1), palette=colours[:400])
    yield "os2.bmp", bmp(W, H, 24, b"".join(r[:, ::-1].astype(np.uint8).tobytes() + b"\0" * (-3 * W % 4) for r in A[::-1]), header=12)
    yield "top_down.bmp", bmp(W, -H, 16, rows((r >> 3 << 10 | g >> 3 << 5 | b >> 3)[::-1]))
    yield "short.bmp", saved(RGB, "BMP")[:-1]


def pnms():
    grey = np.asarray(GREY).astype(int)
    bits = (grey > 100).astype(int)
    size = f"{W} {H}\n".encode()

    def plain(a):
        return b"\n".join(b" ".join(str(v).encode() for v in r.reshape(-1)) for r in a) + b"\n"

    yield "1.pbm", b"P1\n# a comment\n" + size + plain(bits)
    yield "1_dense.pbm", b"P1 " + size + b"\n".join(bytes(48 + r) for r in []) + b"".join(bytes((48 + r).astype(np.uint8)) + b"\n" for r in bits)
    yield "4.pbm", b"P4\n" + size + np.packbits(bits.astype(np.uint8), axis=1).tobytes()
    for most in (15, 100, 255, 1000, 65535):
        v = grey * most // 255
        yield f"2_{most}.pgm", b"P2\n" + size + f"{most}\n".encode() + plain(v)
        yield f"5_{most}.pgm", b"P5\n" + size + f"{most}\n".encode() + v.astype(np.uint8 if most < 256 else ">u2").tobytes()
        v = A * most // 255
        yield f"3_{most}.ppm", b"P3\n" + size + f"{most} # white\n".encode() + plain(v)
        yield f"6_{most}.ppm", b"P6 #\n" + size + f"{most}\n".encode() + v.astype(np.uint8 if most < 256 else ">u2").tobytes()
    dark = grey + 40
    yield "5_dark.pgm", b"P5\n" + size + b"65535\n" + dark.astype(">u2").tobytes()


def tiffcp(data, *args):
    with tempfile.TemporaryDirectory() as d:
        a, b = Path(d) / "a.tif", Path(d) / "b.tif"
        a.write_bytes(data)
        run = subprocess.run(["tiffcp", *args, a, b], capture_output=True)
        if run.returncode:
            raise SystemExit(f"tiffcp {args}: {run.stderr.decode()}")
        return b.read_bytes()


def tiff(a, photometric, bits, fmt=1, order="<", extra=(), predictor=None):
    """One strip of samples [h, w, n], whatever they are."""
    h, w, n = a.shape
    kind = {(8, 1): "u1", (16, 1): "u2", (32, 1): "u4", (16, 2): "i2", (32, 2): "i4", (32, 3): "f4"}[bits, fmt]
    data = a.astype(order + kind).tobytes()
    tags = [(256, 4, w), (257, 4, h), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8), (277, 3, n),
            (278, 4, h), (279, 4, len(data))] + [(338, 3, e) for e in extra] + [(339, 3, fmt)]
    ifd = 8 + len(data)
    after = ifd + 2 + 12 * len(tags) + 4
    out, tail = struct.pack(order + "H", len(tags)), b""
    for tag, k, v in tags:
        if tag in (258, 339) and n > 1:
            out += struct.pack(order + "HHI", tag, 3, n)
            values = struct.pack(order + f"{n}H", *[v] * n)
            if len(values) <= 4:
                out += values.ljust(4, b"\0")
            else:
                out += struct.pack(order + "I", after + len(tail))
                tail += values
        else:
            out += struct.pack(order + "HHI", tag, k, 1) + (struct.pack(order + "HH", v, 0) if k == 3 else struct.pack(order + "I", v))
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", ifd) + data + out + b"\0\0\0\0" + tail


def tiffs():
    grey = np.asarray(GREY).astype(int)[:, :, None]
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    modes = {
        "rgb": RGB, "grey": GREY, "rgba": ALPHA, "palette": RGB.quantize(200), "bits": RGB.convert("1"), "cmyk": RGB.convert("CMYK"),
        "float": GREY.convert("F"), "int": GREY.convert("I"), "grey_alpha": ALPHA.convert("LA"),
        "16": Image.fromarray((np.asarray(GREY).astype(np.uint16) * 3)),
        "lab": ImageCms.profileToProfile(RGB, srgb, lab, outputMode="LAB"),
    }
    for mode, im in modes.items():
        how = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"]
        how += {"rgb": ["jpeg"], "grey": ["jpeg"], "cmyk": ["jpeg"], "bits": ["group3", "group4"]}.get(mode, [])
        for compression in how:
            yield f"{mode}_{compression}.tif", saved(im, "TIFF", compression=compression)
    rgb, bits, cmyk = saved(RGB, "TIFF"), saved(RGB.convert("1"), "TIFF"), saved(RGB.convert("CMYK"), "TIFF")
    f, deep = saved(GREY.convert("F"), "TIFF"), tiff(A * 257 ^ 0x35, 2, 16)
    for name, data, args in (
        ("tiles", rgb, "-t -w 16 -l 16"), ("tiles_lzw", rgb, "-t -w 16 -l 32 -c lzw:2"), ("tiles_jpeg", rgb, "-t -w 16 -l 16 -c jpeg"),
        ("strips", rgb, "-r 5"), ("strips_zip", rgb, "-r 7 -c zip:2"), ("strips_jpeg", rgb, "-r 8 -c jpeg:r"), ("planes", rgb, "-p separate"),
        ("planes_zip", rgb, "-p separate -c zip:2 -r 6"), ("planes_tiles", rgb, "-p separate -t -w 32 -l 16 -c lzw"),
        ("big", rgb, "-8"), ("big_endian", rgb, "-B"), ("cmyk_planes", cmyk, "-p separate -c zip"),
        ("deep_zip", deep, "-c zip:2"), ("deep_big", deep, "-B -c lzw:2"),
        ("float_zip2", f, "-c zip:2"), ("float_zip3", f, "-c zip:3"),
        ("fax_lsb", bits, "-c g4 -f lsb2msb"), ("fax3", bits, "-c g3:1d"), ("bits_lsb", bits, "-f lsb2msb -c none"), ("bits_strips", bits, "-c g4 -r 5"),
        ("zstd_predictor", rgb, "-c zstd:2"),
    ):
        yield f"{name}.tif", tiffcp(data, *args.split())
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 48, 3), dtype=np.uint8))
    yield "noise_lzw.tif", saved(noise, "TIFF", compression="tiff_lzw")  # codes of 12 bits, and the table full
    yield "strips_lzw.tif", tiffcp(rgb, "-c", "lzw", "-r", "3")
    yield "lzw_lsb.tif", tiffcp(rgb, "-c", "lzw", "-r", "6", "-f", "lsb2msb")
    yield "strips_zstd.tif", tiffcp(rgb, "-c", "zstd", "-r", "3")
    yield "white_is_zero.tif", tiff(grey, 0, 8)
    yield "white_is_zero16.tif", tiff(grey * 2, 0, 16)
    for order, name in (("<", ""), (">", "_big")):
        yield f"signed16{name}.tif", tiff(grey * 3 - 200, 1, 16, 2, order)
        yield f"signed32{name}.tif", tiff(grey * 3 - 200, 1, 32, 2, order)
        yield f"float{name}.tif", tiff(grey * 1.7 - 50, 1, 32, 3, order)
        yield f"rgba16{name}.tif", tiff(np.dstack([A, grey]) * 257, 2, 16, 1, order, (2,))
    yield "cmyk16.tif", tiff(np.dstack([A, grey]) * 257 ^ 0x35, 5, 16)
    yield "premultiplied.tif", tiff(np.dstack([A * np.asarray(ALPHA)[:, :, 3:] // 255, np.asarray(ALPHA)[:, :, 3:]]), 2, 8, extra=(1,))
    yield "premultiplied16.tif", tiff(np.dstack([A * np.asarray(ALPHA)[:, :, 3:] // 255, np.asarray(ALPHA)[:, :, 3:]]) * 256, 2, 16, extra=(1,))


def animated(first, second, **how):
    return saved(first, "WEBP", save_all=True, append_images=[second], duration=100, **how)


def webps():
    other = scene(turn=1)
    yield "animated.webp", animated(RGB, other, quality=90)
    yield "animated_lossless.webp", animated(RGB, other, lossless=True)
    yield "animated_alpha.webp", animated(ALPHA, other.convert("RGBA"), quality=80)
    yield "animated_alpha_lossless.webp", animated(ALPHA, other.convert("RGBA"), lossless=True, exact=True)
    with tempfile.TemporaryDirectory() as d:
        for name, how in (("lossy", dict(quality=80)), ("lossless", dict(lossless=True))):
            a, b, out = (Path(d) / n for n in ("a.webp", "b.webp", "out.webp"))
            a.write_bytes(saved(RGB.crop((0, 0, 20, 12)), "WEBP", **how))
            b.write_bytes(saved(RGB, "WEBP", **how))
            subprocess.run(["webpmux", "-frame", a, "+100+8+4", "-frame", b, "+100+0+0", "-o", out], check=True, capture_output=True)
            yield f"small_frame_{name}.webp", out.read_bytes()


def gifs():
    other = scene(turn=1)
    yield "animated.gif", saved(RGB, "GIF", save_all=True, append_images=[other])
    yield "no_trailer.gif", saved(RGB, "GIF")[:-1]


def main():
    golden = []
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for make in (pngs, bmps, pnms, tiffs, webps, gifs):
            for name, data in make():
                im = Image.open(io.BytesIO(data))
                form = im.format
                im = im.convert("RGB")
                golden.append({"file": f"{form}/{name}", "size": im.size, "crc": zlib.crc32(im.tobytes())})
                info = tarfile.TarInfo(golden[-1]["file"])
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    (HERE / "forms.tar.gz").write_bytes(gzip.compress(raw.getvalue(), 9, mtime=0))
    versions = {"pillow": PIL.__version__, **{n: features.version(n) for n in ("libtiff", "webp", "littlecms2", "jpg")}}
    lines = ",\n".join(json.dumps(g) for g in golden)
    (HERE / "forms.json").write_text(f'{{\n"versions": {json.dumps(versions)},\n"files": [\n{lines}\n]\n}}\n')


main()
