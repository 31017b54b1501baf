"""Measures training beside PyTorch, in alternation, and prints a table.

Each row is measured in rounds, each side once a round. The ratio is that of the best
rounds and that of the medians. What is not installed is missing in the table.
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from common import TORCH_PYTHON, CommandFailed, features_of_cpu, photos, processor, report, torch_version, whole_process

import PIL
from PIL import Image, ImageOps

MB = 1 << 20


class Missing(Exception):
    """A side that can't be measured here, and why."""


def output(command, **environment):
    """Returns the object that a command prints as JSON."""
    try:
        out = subprocess.run(command, env=dict(os.environ, **environment), capture_output=True, text=True)
    except OSError as e:
        raise Missing(e)
    if out.returncode != 0:
        raise Missing(reason(out.stderr))
    return json.loads(out.stdout)


def reason(stderr):
    """The line that says why a command failed: ours after "error: ", a Python one's last."""
    lines = [line for line in stderr.splitlines() if line.strip()] or ["failed"]
    return next((line for line in lines if line.startswith("error:")), lines[-1])


def process(command):
    try:
        return whole_process(command)
    except CommandFailed as e:
        raise Missing(reason(str(e)))


def torch_script(name, *arguments):
    return [TORCH_PYTHON, os.path.join(os.path.dirname(os.path.abspath(__file__)), name)] + list(arguments)


def alternate(rounds, sides):
    """Calls each side once a round. Returns, by side, its values or why it is missing."""
    out = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            if isinstance(out[name], str):
                continue
            try:
                out[name].append(measure())
            except Missing as e:
                out[name] = "missing: %s" % e
    return out


class Row:
    """What is measured, the goals for ours/theirs (or ours, where there is no peer), and how the best is chosen."""

    def __init__(self, what, unit, target, stretch, best=min, digits=1, ratio=True):
        self.what, self.unit, self.target, self.stretch = what, unit, target, stretch
        self.best, self.digits, self.ratio = best, digits, ratio

    HEADER = ["what", "peer", "ours best", "median", "theirs best", "median", "unit", "ratio of best", "of medians", "target", "stretch"]

    def cells(self, peer, ours, theirs):
        def pair(v):
            if isinstance(v, str):
                return [v, ""]
            return ["%.*f" % (self.digits, f(v)) for f in (self.best, statistics.median)]
        ratios = ["", ""]
        if not isinstance(ours, str) and not isinstance(theirs, str):
            ratios = ["%.2f" % (f(ours) / f(theirs)) for f in (self.best, statistics.median)]
        return [self.what, peer] + pair(ours) + pair(theirs) + [self.unit] + ratios + [self.target, self.stretch]


def pick(measured, f):
    return measured if isinstance(measured, str) else [f(m) for m in measured]


def step(tools, torch, rounds, runs, work):
    """A whole training step at width 1.0 and 224x224: forward, backward, optimiser. With the kernels for AVX2 and with the fastest."""
    shape = ["--batch", "16", "--threads", "2", "--runs", str(runs)]
    ours = {name: lambda cpu=cpu: output([tools.mobilenet, "bench", "--train", "--format", "json"] + shape, **cpu)
            for name, cpu in (("fastest", {}), ("avx2", {"MOBILENET_CPU": "avx2"}))}
    theirs = {}
    for layout, flags in (("", []), (", channels_last", ["--channels-last"])):
        theirs["PyTorch " + torch + layout] = lambda flags=flags: output(torch_script("torchstep.py", *flags, *shape))
        theirs["libtorch" + layout] = libtorch(tools.libtorch, os.path.join(work, "module%s.pt" % layout), flags, runs)
    got = alternate(rounds, {**ours, **theirs})
    goals = {"PyTorch " + torch: "<= 0.25", "libtorch, channels_last": "<= 0.40"}
    rows, kernels = [], set()
    for name in ours:
        cpu = got[name] if isinstance(got[name], str) else got[name][0]["cpu"]
        if cpu in kernels or cpu.startswith("missing") and name != "fastest":
            continue
        kernels.add(cpu)
        for peer in theirs:
            took = Row("training step, batch 16, 2 threads, %s kernels" % cpu, "ms/image", goals.get(peer, ""), "")
            label = peer if isinstance(got[peer], str) else peer.replace("libtorch", got[peer][0]["version"])
            rows.append(took.cells(label, pick(got[name], lambda r: r["min_ms"] / 16), pick(got[peer], lambda r: r["min_ms"] / 16)))
    peak = Row("its peak memory", "MB", "<= 0.50", "<= 0.35", digits=0)
    for peer in theirs:
        if peer.startswith("PyTorch"):
            rows.append(peak.cells(peer, pick(got["fastest"], lambda r: r["peak_rss_bytes"] / MB), pick(got[peer], lambda r: r["peak_rss_bytes"] / MB)))
    return rows


def fashion(tools, rounds):
    """The recipe for Fashion-MNIST by its first epoch and validation, as often as it has epochs; start and end of the process once."""
    epochs = 27

    def ours():
        with tempfile.TemporaryDirectory() as work:
            run = os.path.join(work, "run")
            command = [tools.mobilenet, "train", "--recipe", "fashion-mnist", "--epochs", "1", "--threads", "2", "--run-dir", run]
            whole = process(["env", "MOBILENET_CPU=avx2"] + command)[0]
            with open(os.path.join(run, "results.csv"), newline="") as f:
                epoch = float(next(csv.DictReader(f))["seconds"])
            return (whole / 1000 + (epochs - 1) * epoch) / 60

    got = alternate(min(rounds, 2), {"ours": ours})
    row = Row("Fashion-MNIST's training by its first epoch, 2 threads, avx2 kernels", "min", "ours <= 30", "")
    return [row.cells("", got["ours"], "")]


def features(tools, rounds, folder, work):
    """The cached features of a frozen backbone, with one epoch of the classifier, beside predict: the same photos, decoded and classified."""
    weights = os.path.join(work, "frozen.safetensors")
    subprocess.run([tools.newmodel, "-o", weights], check=True)

    def ours():
        with tempfile.TemporaryDirectory() as run:
            command = [tools.mobilenet, "train", "--data", folder, "--model", weights, "--freeze", "backbone", "--augment", "none",
                       "--epochs", "1", "--run-dir", os.path.join(run, "run")]
            return process(command)[0] / 1000

    got = alternate(rounds, {"ours": ours, "predict": lambda: process([tools.mobilenet, "predict", "--format", "json", "--model", weights, folder])[0] / 1000})
    row = Row("features of 1000 photos and an epoch of the classifier, whole process", "s", "<= 1.1", "", digits=2)
    return [row.cells("our predict", got["ours"], got["predict"])]


def libtorch(folder, module, flags, runs):
    """Returns what measures libtorch, from DJL's archives in folder, on two threads."""
    def measure():
        if not os.path.isdir(folder):
            raise Missing("Java, Maven or its repository is not there")
        if not os.path.exists(module):
            process(torch_script("torchmodule.py", *flags, module))
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libtorch", "Step.java")
        return output(["java", "-cp", os.path.join(folder, "*"), source, module, "16", str(runs)],
                      OMP_NUM_THREADS="2", DJL_CACHE_DIR=folder, DJL_OFFLINE="true")
    return measure


def pipeline(tools, torch, rounds, folder):
    """Photos a second on one core, from files to augmented, normalised tensors."""
    seconds = "2"
    got = alternate(rounds, {
        "ours": lambda: output([tools.augment, "-seconds", seconds, folder])["images_per_second"],
        "theirs": lambda: output(torch_script("torchdata.py", folder, seconds))["images_per_second"],
    })
    row = Row("decode, RandomResizedCrop, flip, normalise; 500x375 JPEG, 1 core", "photos/s", ">= 1.0", ">= 1.3", best=max, digits=0)
    return [row.cells("torchvision, Pillow", got["ours"], got["theirs"])]


def head(tools, torch, rounds, folder, work):
    """A new classifier on cached features, from the start of the process to its end."""
    weights = os.path.join(work, "backbone.safetensors")
    subprocess.run([tools.newmodel, "-o", weights], check=True)
    rounds = min(rounds, 3)

    def ours():
        with tempfile.TemporaryDirectory() as run:
            # A fresh cache: computing the features is part of it.
            command = [tools.mobilenet, "train", "--data", folder, "--model", weights, "--freeze", "backbone", "--augment", "none",
                       "--epochs", "10", "--batch", "32", "--run-dir", os.path.join(run, "run")]
            return process(["env", "MOBILENET_CACHE=" + os.path.join(run, "cache")] + command)

    got = alternate(rounds, {"ours": ours, "theirs": lambda: process(torch_script("torchhead.py", folder, "10", "2"))})
    took = Row("fine-tune of the head, 1000 photos, 10 epochs, whole process", "s", "ours <= 25 s", "<= 12 s")
    peak = Row("its peak memory", "MB", "", "", digits=0)
    return [row.cells("PyTorch " + torch, pick(got["ours"], f), pick(got["theirs"], f))
            for row, f in ((took, lambda m: m[0] / 1000), (peak, lambda m: m[1]))]


def prepare(source, work, classes=5, each=200, distinct=50):
    """Makes a folder of distinct photos, of 500x375, and an ImageFolder that repeats them. Returns both paths."""
    flat, tree = os.path.join(work, "photos"), os.path.join(work, "folder")
    os.mkdir(flat)
    if source:
        names = sorted(n for n in os.listdir(source) if n.lower().endswith((".jpg", ".jpeg", ".png")))[:distinct]
        for i, name in enumerate(names):
            image = ImageOps.fit(Image.open(os.path.join(source, name)).convert("RGB"), (500, 375), Image.BICUBIC)
            image.save(os.path.join(flat, "%04d.jpg" % i), quality=95)
    else:
        photos(flat, distinct)
    files = sorted(os.listdir(flat))
    for c in range(classes):
        os.makedirs(os.path.join(tree, "class%d" % c))
        for i in range(each):
            name = files[(c * each + i) % len(files)]
            os.link(os.path.join(flat, name), os.path.join(tree, "class%d" % c, "%04d.jpg" % i))
    return flat, tree


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--mobilenet", required=True, help="the binary to measure")
    p.add_argument("--newmodel", required=True, help="the binary of bench/newmodel")
    p.add_argument("--augment", required=True, help="the binary of bench/augment")
    p.add_argument("--libtorch", default="", help="folder of DJL's archives with a current libtorch")
    p.add_argument("--photos", default="", help="folder of photos to use instead of made-up ones")
    p.add_argument("--only", choices=("step", "data", "head", "features", "fashion"), help="one part alone")
    p.add_argument("--quick", action="store_true", help="fewer rounds, for a first look")
    p.add_argument("--out", default="", help="folder for train.md and train.csv")
    a = p.parse_args()
    rounds, runs = (2, 4) if a.quick else (5, 10)
    try:
        torch = torch_version()
    except ImportError as e:
        print("skipped: PyTorch: %s" % e, file=sys.stderr)
        torch = "(missing)"
    rows = [Row.HEADER]
    start = time.time()
    with tempfile.TemporaryDirectory() as work:
        flat, tree = prepare(a.photos, work)
        kilobytes = statistics.mean(os.path.getsize(os.path.join(flat, f)) for f in os.listdir(flat)) / 1000
        parts = {
            "step": lambda: step(a, torch, rounds, runs, work),
            "data": lambda: pipeline(a, torch, rounds, flat),
            "head": lambda: head(a, torch, rounds, tree, work),
            "features": lambda: features(a, rounds, tree, work),
            "fashion": lambda: fashion(a, rounds),
        }
        for name, part in parts.items():
            if a.only in (None, name):
                print(name, file=sys.stderr)
                rows += part()
    print("%s (%s), %d cores; PyTorch %s; photos of %.0f kB made with Pillow %s; %d rounds in %.0f s\n" % (
        processor(), ", ".join(features_of_cpu()) or "unknown instructions", os.cpu_count(), torch, kilobytes, PIL.__version__, rounds, time.time() - start))
    report(rows, a.out, "train")


if __name__ == "__main__":
    main()
