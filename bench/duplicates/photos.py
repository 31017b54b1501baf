"""Makes a set of duplicates: each photo of a folder, and what people and programs make of photos.

    python3 photos.py PHOTOS OUT [--limit N]

OUT gets PHOTO--original.png and a PHOTO--KIND_STRENGTH.jpg for every kind and strength below, from
seeds that depend on the photo's name alone. Two files are duplicates if they are of one photo.

    python3 photos.py PHOTOS OUT --count 10000 --size 640x480

is a folder to measure speed on: as many JPEG files, all of one size. Each is a photo, one window of it
(a scene) and one of the changes, in turn, brought back to that size.
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


def save(im, kind, s, seed, path):
    """Writes a photo with one change. Each file has a random generator of its own."""
    if kind == "jpeg":
        im.save(path, quality=s)
    else:
        r = random.Random(hashlib.sha256(seed.encode()).digest())
        KINDS[kind][0](im, s, r).save(path, quality=92)


def many(paths, out, count, size):
    """Files of one size: the i-th is of photo i mod n, with change (i div n) mod m, of a scene for each m."""
    changes = [(k, s) for k, (_, strengths) in KINDS.items() for s in strengths]
    for i in range(count):
        rest, photo = divmod(i, len(paths))
        scene, c = divmod(rest, len(changes))
        kind, s = changes[c]
        stem = "%s.%d" % (os.path.splitext(os.path.basename(paths[photo]))[0], scene)
        im = Image.open(paths[photo]).convert("RGB")
        im = ImageOps.fit(crop(im, 0.8, random.Random(stem)), size, Image.BICUBIC)
        path = os.path.join(out, "%s--%s_%s.jpg" % (stem, kind, s))
        save(im, kind, s, "%s %s %s" % (stem, kind, s), path)
        if (now := Image.open(path)).size != size:
            ImageOps.fit(now, size, Image.BICUBIC).save(path, quality=92)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("photos")
    p.add_argument("out")
    p.add_argument("--limit", type=int, default=1 << 30)
    p.add_argument("--size", help="WxH that every photo is cut and scaled to first")
    p.add_argument("--count", type=int, help="so many files of one size, to measure speed on")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    names = [n for n in sorted(os.listdir(a.photos)) if n.lower().endswith((".png", ".jpg", ".jpeg"))][: a.limit]
    size = a.size and tuple(map(int, a.size.split("x")))
    if a.count:
        many([os.path.join(a.photos, n) for n in names], a.out, a.count, size or (640, 480))
        return
    for name in names:
        stem = os.path.splitext(name)[0]
        im = Image.open(os.path.join(a.photos, name)).convert("RGB")
        if size:
            im = ImageOps.fit(im, size, Image.BICUBIC)
        im.save(os.path.join(a.out, stem + "--original.png"))
        for kind, (_, strengths) in KINDS.items():
            for s in strengths:
                save(im, kind, s, "%s %s %s" % (stem, kind, s), os.path.join(a.out, "%s--%s_%s.jpg" % (stem, kind, s)))


if __name__ == "__main__":
    main()
