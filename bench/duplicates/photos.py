"""Makes a set of duplicates: each photo of a folder, and what people and programs make of photos.

    python3 photos.py PHOTOS OUT [--limit N]

OUT gets PHOTO--original.png and a PHOTO--KIND_STRENGTH.jpg for every kind and strength below, from
seeds that depend on the photo's name alone. Two files are duplicates if they are of one photo.
"""
import argparse
import hashlib
import math
import os
import random

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps


def resize(im, share, r):
    w, h = im.size
    return im.resize((max(1, round(w * share)), max(1, round(h * share))), Image.LANCZOS)


def crop(im, share, r):
    """A window with this share of either side, anywhere."""
    w, h = im.size
    cw, ch = round(w * share), round(h * share)
    x, y = r.randint(0, w - cw), r.randint(0, h - ch)
    return im.crop((x, y, x + cw, y + ch))


def turn(im, degrees, r):
    """Quarter turns are exact; smaller ones show the largest upright window without corners."""
    if degrees % 90 == 0:
        return im.rotate(degrees, expand=True)
    w, h = im.size
    a = math.radians(degrees)
    s = min(w, h) / (min(w, h) * math.cos(a) + max(w, h) * math.sin(a))
    cw, ch = int(w * s), int(h * s)
    return im.rotate(degrees, Image.BICUBIC).crop(((w - cw) // 2, (h - ch) // 2, (w + cw) // 2, (h + ch) // 2))


def caption(im, share, r):
    """A bar with text over the foot of the photo, of this share of its height."""
    im = im.copy()
    w, h = im.size
    bar = max(8, round(h * share))
    d = ImageDraw.Draw(im)
    d.rectangle((0, h - bar, w, h), fill=(0, 0, 0))
    d.text((w // 20, h - bar + bar // 3), "When you see it, %d" % r.randint(1, 99), fill=(255, 255, 255), font=ImageFont.load_default())
    return im


def frame(im, share, r):
    """A white border of this share of the shorter side around the photo."""
    return ImageOps.expand(im, round(min(im.size) * share), (255, 255, 255))


def cast(im, gain, r):
    """One channel times gain, another divided by it."""
    up, down = r.sample(range(3), 2)
    bands = list(im.split())
    bands[up] = bands[up].point(lambda v: min(255, round(v * gain)))
    bands[down] = bands[down].point(lambda v: round(v / gain))
    return Image.merge("RGB", bands)


KINDS = {
    "resize": (resize, [0.75, 0.5, 0.25]),
    "crop": (crop, [0.9, 0.8, 0.65, 0.5]),
    "jpeg": (None, [70, 30, 10]),
    "grey": (lambda im, s, r: ImageEnhance.Color(im).enhance(1 - s), [0.5, 1]),
    "turn": (turn, [2, 5, 10]),
    "quarter": (turn, [90, 180, 270]),
    "mirror": (lambda im, s, r: ImageOps.mirror(im) if s == 1 else ImageOps.flip(im), [1, 2]),
    "caption": (caption, [0.1, 0.2, 0.3]),
    "frame": (frame, [0.05, 0.1]),
    "cast": (cast, [1.1, 1.25, 1.5]),
    "light": (lambda im, s, r: ImageEnhance.Brightness(im).enhance(s), [0.7, 1.4]),
}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("photos")
    p.add_argument("out")
    p.add_argument("--limit", type=int, default=1 << 30)
    p.add_argument("--size", help="WxH that every photo is cut and scaled to first")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    names = [n for n in sorted(os.listdir(a.photos)) if n.lower().endswith((".png", ".jpg", ".jpeg"))][: a.limit]
    for name in names:
        stem = os.path.splitext(name)[0]
        im = Image.open(os.path.join(a.photos, name)).convert("RGB")
        if a.size:
            im = ImageOps.fit(im, tuple(map(int, a.size.split("x"))), Image.BICUBIC)
        im.save(os.path.join(a.out, stem + "--original.png"))
        for kind, (change, strengths) in KINDS.items():
            for s in strengths:
                r = random.Random(hashlib.sha256(("%s %s %s" % (stem, kind, s)).encode()).digest())
                out = os.path.join(a.out, "%s--%s_%s.jpg" % (stem, kind, s))
                if kind == "jpeg":
                    im.save(out, quality=s)
                else:
                    change(im, s, r).save(out, quality=92)


if __name__ == "__main__":
    main()
