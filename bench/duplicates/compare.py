"""Compares mobilenet duplicates with imagededup on a set that photos.py made.

    python3 compare.py SET --binary mobilenet --weights mobilenet_v2.pth [--others DIR] [--codes FILE] [--time]

Which pairs of files does each take for duplicates: how many of them are of one photo (precision), and
of how many changed files does it find the original (recall, by kind of change). imagededup's CNN is
MobileNetV3 small by default; its weights are downloaded where that is possible, and with --weights it
runs the same MobileNetV2 as we do, with its own preprocessing and threshold. --others is a folder of
photos that are all different but much alike, flowers for example: how many pairs of them are taken.
--codes keeps what imagededup computes, for another run.

--time times both on the folder instead: wall clock and CPU seconds, one after the other. imagededup runs
its MobileNetV3 small there, with any weights, or with --weights MobileNetV2. --threads is what torch
gets, and --workers the processes that decode for it (its num_enc_workers).
"""
import argparse
import collections
import json
import os
import pickle
import resource
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


def cnn(weights, untrained=False):
    import torch
    import torchvision
    from imagededup.methods import CNN
    from imagededup.utils import CustomModel
    from imagededup.utils.models import MobilenetV3

    if not weights and not untrained:
        return CNN(verbose=False)
    if weights:
        net = torchvision.models.mobilenet_v2()
        net.load_state_dict(torch.load(weights))
    else:
        net = torchvision.models.mobilenet_v3_small()
    net.eval()

    class Features(torch.nn.Module):
        def forward(self, x):
            return net.features(x).mean((2, 3))

    return CNN(verbose=False, model_config=CustomModel(model=Features(), transform=MobilenetV3.transform, name="mobilenet"))


def seconds(run):
    """Wall clock and CPU seconds of run, its processes included."""
    def cpu():
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    wall, used = time.time(), cpu()
    run()
    return time.time() - wall, cpu() - used


def clock(a, names):
    import warnings

    import torch
    warnings.simplefilter("ignore")
    torch.set_num_threads(a.threads)
    c = cnn(a.weights if a.same else "", untrained=True)
    for _ in range(a.rounds):
        x = seconds(lambda: ours(a.binary, a.weights, a.photos, 0.94, flags=a.flags.split()))
        y = seconds(lambda: c.find_duplicates(image_dir=a.photos, min_similarity_threshold=0.9, num_enc_workers=a.workers))
        print("%d photos: ours %.1f s (CPU %.1f), imagededup %.1f s (CPU %.1f), ratio %.3f (CPU %.3f)" % (len(names), *x, *y, x[0] / y[0], x[1] / y[1]), flush=True)


def kept(path, compute):
    """What compute returns, from the file at path if it is there."""
    if path and os.path.exists(path):
        with open(path, "rb") as f:
            return pickle.load(f)
    value = compute()
    if path:
        with open(path, "wb") as f:
            pickle.dump(value, f)
    return value


def cut(scored, enough):
    """What find_duplicates finds with a stricter threshold: of its names with scores."""
    return {name: {other for other, score in others if enough(score)} for name, others in scored.items()}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("photos")
    p.add_argument("--binary", default="mobilenet")
    p.add_argument("--weights", default="")
    p.add_argument("--others", help="photos that are all different")
    p.add_argument("--codes", default="", help="beginning of names of files for what imagededup computes")
    p.add_argument("--time", action="store_true")
    p.add_argument("--same", action="store_true", help="with --time: imagededup runs the same MobileNetV2")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--workers", type=int, default=0)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--flags", default="", help="more flags for mobilenet duplicates, with spaces between")
    a = p.parse_args()
    names = sorted(os.listdir(a.photos))
    if a.time:
        clock(a, names)
        return
    rows = []

    def row(name, found, others):
        precision, wrong, recall = judge(found, names)
        rows.append((name, precision, wrong, recall))
        print("| %s | %.4f | %d | %s | %.3f |" % (name, precision, wrong, others, sum(recall.values()) / len(recall)), flush=True)

    def pairs(found):
        return sum(map(len, found.values())) // 2

    print("| | precision | wrong pairs | pairs of others | recall |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as d:
        index = {}
        for folder in filter(None, (a.photos, a.others)):
            index[folder] = os.path.join(d, "%d.mnidx" % len(index))
            subprocess.run([a.binary, "embed", "--model", a.weights, folder, "-o", index[folder]], check=True, capture_output=True)
        for t in (0.97, 0.96, 0.95, 0.94, 0.93, 0.92, 0.91, 0.90):
            others = a.others and pairs(ours(a.binary, a.weights, a.others, t, index[a.others]))
            row("ours %.2f" % t, ours(a.binary, a.weights, a.photos, t, index[a.photos]), others)
    from imagededup import methods

    def theirs(name, method, thresholds, argument, enough):
        """One method of imagededup: what it finds with the loosest threshold, and of that the stricter ones."""
        scored = {}
        for folder in filter(None, (a.photos, a.others)):
            path = a.codes and "%s-%s-%s.pickle" % (a.codes, name, os.path.basename(os.path.normpath(folder)))
            codes = kept(path, lambda: method().encode_images(image_dir=folder))
            scored[folder] = method().find_duplicates(encoding_map=codes, scores=True, **{argument: thresholds[0]})
        for t in reversed(thresholds):
            found = {folder: cut(s, lambda score: enough(score, t)) for folder, s in scored.items()}
            row("imagededup %s %s" % (name, t), found[a.photos], a.others and pairs(found[a.others]))

    theirs("CNN", lambda: cnn(a.weights), (0.84, 0.86, 0.88, 0.9, 0.92, 0.95), "min_similarity_threshold", lambda s, t: s >= t)
    for m in ("PHash", "DHash", "AHash", "WHash"):
        theirs(m, lambda: getattr(methods, m)(verbose=False), (10, 4), "max_distance_threshold", lambda s, t: s <= t)
    kinds = sorted(rows[0][3], key=lambda k: (ORDER.index(k.split("_")[0]), k))
    print("\n| | " + " | ".join(r[0] for r in rows) + " |\n|---|" + "---|" * len(rows))
    print("| precision | " + " | ".join("%.4f" % r[1] for r in rows) + " |")
    print("| wrong pairs | " + " | ".join("%d" % r[2] for r in rows) + " |")
    for k in kinds:
        print("| %s | " % k.replace("_", " ") + " | ".join("%.2f" % r[3][k] for r in rows) + " |")


if __name__ == "__main__":
    main()
