#!/usr/bin/env python3
"""Measures what mobilenet train --dry-run says of memory and time beside what the training then takes.

    python3 bench/finetune/rehearsal.py --folders DIR --weights DIR --mobilenet PROGRAM [--only "NAME; NAME"]

The folders are those of folders.py, the weights those of run.py. Each line is a kind of
training: said, measured, and by how much what was said is off. Memory is the peak of the
process, in units of 2^20 bytes as --dry-run has it. Time is from the process's start to its
end, so nothing else should run.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import whole_process  # noqa: E402

# name: folder, weights, flags. Few epochs: what a rehearsal can be wrong about is in each of them.
KINDS = {
    "default": ("textures", "folded", "-r 64"),
    "default, 96 pixels": ("fine", "folded", "-r 96"),
    "default, 224 pixels": ("fine", "folded", "-r 224 --epochs 4"),
    "width 0.35": ("fashion", "narrow", "-r 64 --epochs 4"),
    "width 0.35, 224 pixels": ("textures", "narrow", "-r 224 --epochs 2"),
    "frozen": ("textures", "folded", "-r 96 --freeze backbone"),
    "frozen, 224 pixels": ("coarse", "folded", "-r 224 --freeze backbone"),
    "batch 64": ("textures", "folded", "-r 64 --batch 64"),
    "batch 2": ("fine", "folded", "-r 96 --batch 2 --epochs 4"),
    "some modules": ("textures", "folded", "-r 96 --freeze 10 --augment none --epochs 4"),
    "plain": ("textures", "folded", "-r 96 --recipe plain --epochs 4"),
    "200 classes": ("omniglot", "folded", "-r 64 --epochs 2"),
    "a running mean, no undoing": ("textures", "folded", "-r 64 --ema 0.99 --undo=false"),
    "a running mean, RandAugment": ("textures", "folded", "-r 64 --ema 0.99 --rand-augment 2,9 --epochs 4"),
    "a running mean, RandAugment, 224 pixels": ("fine", "folded", "-r 224 --ema 0.99 --rand-augment 2,9 --epochs 3"),
    "a running mean, width 0.35": ("textures", "narrow", "-r 64 --ema 0.99 --epochs 4"),
    "SGD, a running mean, mixup": ("textures", "folded", "-r 64 --optimizer sgd --ema 0.99 --mixup 0.2 --epochs 4"),
    "statistics of batches, no undoing": ("fine", "folded", "-r 96 --head-epochs 0 --undo=false --fix-norm=false --batch 8 --epochs 4"),
    "balanced, TrivialAugment": ("unbalanced", "folded", "-r 64 --balance sampling --augment trivial --erase 0.2 --epochs 3"),
    "8 bits in the end": ("fine", "folded", "-r 96 --int8 --ema 0.99 --epochs 4"),
    "8 bits": ("textures", "MODEL", "-r 64 --qat"),
    "8 bits, a running mean, RandAugment": ("textures", "MODEL", "-r 64 --qat --ema 0.99 --rand-augment 2,9"),
    "a teacher": ("textures", "narrow", "-r 64 --teacher MODEL --rand-augment 2,9 --ema 0.99 --epochs 4"),
    "a teacher, frozen": ("textures", "narrow", "-r 64 --teacher MODEL --freeze backbone"),
    "a teacher, from nothing": ("textures", "none", "-r 64 --width 0.35 --teacher MODEL --epochs 4"),
}


def off(said, measured):
    return "%+.0f %%" % (100 * (said / measured - 1))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folders", required=True)
    p.add_argument("--weights", required=True)
    p.add_argument("--mobilenet", default="mobilenet")
    p.add_argument("--only", help="these kinds alone, divided by semicolons")
    a = p.parse_args()
    made = tempfile.TemporaryDirectory()  # with MODEL, which knows the classes of textures
    trained = os.path.join(made.name, "run", "best.safetensors")
    file = lambda name: next(os.path.join(a.weights, f) for f in os.listdir(a.weights) if f.startswith(name + ".") and not f.endswith("unfolded.pth"))
    print("| training | memory said, MB | measured | off | time said, s | measured | off |\n|---|---|---|---|---|---|---|")
    for name, (folder, weights, flags) in KINDS.items():
        if a.only and name not in a.only.split("; "):
            continue
        if "MODEL" in weights + flags and not os.path.exists(trained):
            subprocess.run([a.mobilenet, "train", "--data", os.path.join(a.folders, "textures"), "--model", file("folded"), "-r", "64", "--freeze", "backbone",
                            "--epochs", "5", "--run-dir", os.path.dirname(trained)], check=True, capture_output=True)
        model = {"none": "none", "MODEL": trained}.get(weights) or file(weights)
        command = [a.mobilenet, "train", "--data", os.path.join(a.folders, folder), "--model", model] + flags.replace("MODEL", trained).split()
        told = subprocess.run(command + ["--dry-run"], capture_output=True, text=True)
        said = re.search(r"memory: about (\d+) MB; time: about (?:(\d+)h)?(?:(\d+)m)?([\d.]+)s", told.stdout + told.stderr)
        if not said:
            sys.exit("%s: %s" % (" ".join(command), told.stderr))
        seconds = 3600 * int(said[2] or 0) + 60 * int(said[3] or 0) + float(said[4])
        with tempfile.TemporaryDirectory() as run:
            took, peak = whole_process(command + ["--run-dir", os.path.join(run, "run")])
        print("| %s | %s | %.0f | %s | %.0f | %.1f | %s |" % (name, said[1], peak, off(int(said[1]), peak), seconds, took / 1000, off(seconds, took / 1000)), flush=True)


if __name__ == "__main__":
    main()
