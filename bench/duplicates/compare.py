"""Compares mobilenet duplicates with imagededup on a set that photos.py made.

    python3 compare.py SET --binary mobilenet --weights mobilenet_v2.pth [--time]

Which pairs of files does each take for duplicates: how many of them are of one photo (precision), and
of how many changed files does it find the original (recall, by kind of change). imagededup's CNN is
MobileNetV3 small by default; its weights are downloaded where that is possible, and with --weights it
runs the same MobileNetV2 as we do, with its own preprocessing and threshold. --time times both on the
folder instead.
"""
import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time

ORDER = ["resize", "crop", "jpeg", "grey", "turn", "quarter", "mirror", "caption", "frame", "cast", "light"]


def stem(name):
    return name.split("--")[0]


def kind(name):
    return os.path.splitext(name.split("--")[1])[0]


def judge(found, names):
    """found: {name: set of names}. Returns precision and {kind: recall}."""
    right = wrong = 0
    for a, others in found.items():
        for b in others:
            if stem(a) == stem(b):
                right += 1
            else:
                wrong += 1
    seen, of = collections.Counter(), collections.Counter()
    for n in names:
        if kind(n) != "original":
            of[kind(n)] += 1
            seen[kind(n)] += stem(n) + "--original.png" in found.get(n, ())
    return right / max(1, right + wrong), wrong // 2, {k: seen[k] / of[k] for k in of}


def ours(binary, weights, photos, threshold, index=None, flags=()):
    where = ["--index", index] if index else ["--model", weights, photos]
    out = subprocess.run([binary, "duplicates", "--threshold", str(threshold), "--format", "imagededup", *flags, *where], capture_output=True, text=True)
    if out.returncode > 1:
        sys.exit(out.stderr)
    return {os.path.basename(k): {os.path.basename(x) for x in v} for k, v in json.loads(out.stdout).items()}


def cnn(weights):
    import torch
    import torchvision
    from imagededup.methods import CNN
    from imagededup.utils import CustomModel
    from imagededup.utils.models import MobilenetV3

    if not weights:
        return CNN(verbose=False)
    net = torchvision.models.mobilenet_v2()
    net.load_state_dict(torch.load(weights))
    net.eval()

    class Features(torch.nn.Module):
        def forward(self, x):
            return net.features(x).mean((2, 3))

    return CNN(verbose=False, model_config=CustomModel(model=Features(), transform=MobilenetV3.transform, name="mobilenet_v2"))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("photos")
    p.add_argument("--binary", default="mobilenet")
    p.add_argument("--weights", default="")
    p.add_argument("--time", action="store_true")
    p.add_argument("--flags", default="", help="more flags for mobilenet duplicates, with spaces between")
    a = p.parse_args()
    names = sorted(os.listdir(a.photos))
    if a.time:
        import warnings
        warnings.simplefilter("ignore")
        for _ in range(2):
            t = time.time()
            ours(a.binary, a.weights, a.photos, 0.95, flags=a.flags.split())
            t1 = time.time()
            cnn(a.weights).find_duplicates(image_dir=a.photos, min_similarity_threshold=0.9)
            t2 = time.time()
            print("%d photos: ours %.1f s, imagededup %.1f s, ratio %.3f" % (len(names), t1 - t, t2 - t1, (t1 - t) / (t2 - t1)), flush=True)
        return
    rows = []

    def row(name, found):
        precision, wrong, recall = judge(found, names)
        rows.append((name, precision, wrong, recall))
        print("%-28s precision %.4f (%d wrong pairs) recall %.3f" % (name, precision, wrong, sum(recall.values()) / len(recall)), flush=True)

    with tempfile.TemporaryDirectory() as d:
        index = os.path.join(d, "x.mnidx")
        subprocess.run([a.binary, "embed", "--model", a.weights, a.photos, "-o", index], check=True, capture_output=True)
        for t in (0.97, 0.96, 0.95, 0.94, 0.93, 0.92, 0.91, 0.90):
            row("ours %.2f" % t, ours(a.binary, a.weights, a.photos, t, index))
    from imagededup import methods
    c = cnn(a.weights)
    codes = c.encode_images(image_dir=a.photos)
    for t in (0.95, 0.9, 0.88, 0.86, 0.84):
        row("imagededup CNN %.2f" % t, {k: set(v) for k, v in c.find_duplicates(encoding_map=codes, min_similarity_threshold=t).items()})
    for method in ("PHash", "DHash", "AHash", "WHash"):
        m = getattr(methods, method)(verbose=False)
        codes = m.encode_images(image_dir=a.photos)
        for t in (10, 4):
            row("imagededup %s %d" % (method, t), {k: set(v) for k, v in m.find_duplicates(encoding_map=codes, max_distance_threshold=t).items()})
    kinds = sorted(rows[0][3], key=lambda k: (ORDER.index(k.split("_")[0]), k))
    print("\n| | " + " | ".join(r[0] for r in rows) + " |\n|---|" + "---|" * len(rows))
    print("| precision | " + " | ".join("%.4f" % r[1] for r in rows) + " |")
    print("| wrong pairs | " + " | ".join("%d" % r[2] for r in rows) + " |")
    for k in kinds:
        print("| %s | " % k.replace("_", " ") + " | ".join("%.2f" % r[3][k] for r in rows) + " |")


if __name__ == "__main__":
    main()
