#!/usr/bin/env python3
"""Measures the default recipe of mobilenet train: the table of docs/finetune.md.

    python3 bench/finetune/run.py --folders DIR --weights DIR --mobilenet PROGRAM --out runs.jsonl
    python3 bench/finetune/run.py --table runs.jsonl

DIR of folders is what folders.py made. DIR of weights has folded.pth (BatchNorm folded, as
models have that came through ONNX), unfolded.h5 or .safetensors (it was never folded), and
narrow.safetensors (width 0.35); for PyTorch unfolded.pth, too (mobilenet convert). What runs.jsonl has is not measured again: a run that was
interrupted goes on. A line is a run: frozen and default come of the same one, epoch 0 being
what --freeze backbone gives (train's TestClassifierAlone). PyTorch runs where /usr/bin/python3,
or MOBILENET_BENCH_TORCH, has torch and torchvision, and Ultralytics where MOBILENET_BENCH_ULTRALYTICS
has ultralytics, too: a virtual environment that sees the system's packages does.
"""
import argparse
import csv
import glob
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

TORCH = os.environ.get("MOBILENET_BENCH_TORCH", "/usr/bin/python3")
ULTRALYTICS = os.environ.get("MOBILENET_BENCH_ULTRALYTICS", "python3")
EPOCHS = 10

SEEDS = 5

# folder: resolution, and about how many CPU seconds a run takes with width 1: cheap cells are measured first.
GRID = {
    "coarse": (96, 6),
    "fine": (96, 5),
    "textures": (64, 10),
    "hymenoptera": (64, 20),
    "cifar": (64, 34),
    "fashion": (64, 33),
    "unbalanced": (64, 17),
    "flowers": (64, 17),
    "omniglot": (64, 54),
}
WEIGHTS = {"folded": 1, "unfolded": 1, "narrow": 0.35}  # and the share of the seconds
RATES = (0.001, 0.003, 0.01)

# Folders of 200 and more photos a class, on which PyTorch's best rate is to be reached, are measured with all seeds.
LARGE = "cifar", "fashion"

# Ultralytics' defaults have 100 epochs: small folders alone.
ULTRA, ULTRA_EPOCHS = ("fine", "coarse", "textures"), 100


def jobs():
    """The runs: ours, the cheap cells first, and PyTorch's, the first seeds, folded weights and the large folders first."""
    ours, theirs = [], []
    for folder, (resolution, seconds) in GRID.items():
        for weights, share in WEIGHTS.items():
            for seed in range(SEEDS):
                ours.append((seconds * share, {"arm": "mobilenet", "folder": folder, "weights": weights, "seed": seed, "resolution": resolution}))
        for weights in "folded", "unfolded":
            for seed in range(SEEDS if folder in LARGE else 1):
                for lr in RATES:
                    job = {"arm": "pytorch", "folder": folder, "weights": weights, "seed": seed, "resolution": resolution, "lr": lr}
                    theirs.append((seed > 2, weights == "unfolded", folder not in LARGE, seconds, seed, job))
    ultra = [(0, {"arm": "ultralytics", "folder": f, "weights": "folded", "seed": 0, "resolution": GRID[f][0]}) for f in ULTRA]
    return [job for *_, job in sorted(ours, key=lambda j: j[:-1]) + sorted(theirs, key=lambda j: j[:-1]) + ultra]


def run(command):
    """Runs a command and returns what it prints, and the CPU time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if out.returncode:
        sys.exit("%s: %s" % (" ".join(command), out.stderr[-500:]))
    return out.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def mobilenet(a, job):
    data = os.path.join(a.folders, job["folder"])
    weights = next(f for f in sorted(glob.glob(os.path.join(a.weights, job["weights"] + ".*"))) if not f.endswith("unfolded.pth"))
    run_dir = os.path.join(tempfile.mkdtemp(), "run")
    command = [a.mobilenet, "train", "--data", data, "--model", weights, "-r", str(job["resolution"]), "--seed", str(job["seed"]), "--threads", "1", "--run-dir", run_dir]
    if os.path.isdir(os.path.join(data, "test")):
        command += ["--test", os.path.join(data, "test")]
    began = time.time()
    _, cpu = run(command)
    with open(os.path.join(run_dir, "results.csv")) as f:
        rows = list(csv.DictReader(f))
    curve = [float(r["val_top1"]) for r in rows]
    test = None
    if os.path.exists(os.path.join(run_dir, "test", "evaluation.json")):
        with open(os.path.join(run_dir, "test", "evaluation.json")) as f:
            test = json.load(f)["top1_accuracy"]
    shutil.rmtree(os.path.dirname(run_dir))
    return {"frozen": curve[0], "val": max(curve), "curve": curve, "test": test, "undone": sum(int(r["undone"]) for r in rows), "seconds": time.time() - began, "cpu": cpu}


def pytorch(a, job):
    here = os.path.dirname(os.path.abspath(__file__))
    weights = os.path.join(a.weights, job["weights"] + ".pth")
    out, cpu = run([TORCH, os.path.join(here, "torchtune.py"), "--data", os.path.join(a.folders, job["folder"]), "--weights", weights, "--width", "1",
                    "--resolution", str(job["resolution"]), "--lr", str(job["lr"]), "--epochs", str(EPOCHS), "--seed", str(job["seed"])] + ["--keras"] * (job["weights"] == "unfolded"))
    return dict(json.loads(out), cpu=cpu)


def ultralytics(a, job):
    here = os.path.dirname(os.path.abspath(__file__))
    out, cpu = run([ULTRALYTICS, os.path.join(here, "ultra.py"), "--data", os.path.join(a.folders, job["folder"]), "--weights", os.path.join(a.weights, job["weights"] + ".pth"),
                    "--resolution", str(job["resolution"]), "--epochs", str(ULTRA_EPOCHS), "--seed", str(job["seed"])])
    return dict(json.loads(out.splitlines()[-1]), cpu=cpu)


def table(lines):
    """Markdown of what was measured."""
    percent = lambda v: "-" if v is None else "%.1f" % (100 * v)
    mean = lambda v: sum(v) / len(v) if v else None
    runs = [json.loads(line) for line in lines]
    print("| folder | weights | seeds | frozen | default | worst seed, default less frozen | PyTorch, best of %d rates | Ultralytics | CPU seconds | PyTorch's | Ultralytics' |" % len(RATES))
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for folder in GRID:
        for weights in WEIGHTS:
            ours = [r for r in runs if (r["arm"], r["folder"], r["weights"]) == ("mobilenet", folder, weights)]
            theirs = [r for r in runs if (r["arm"], r["folder"], r["weights"]) == ("pytorch", folder, weights)]
            ultra = [r for r in runs if (r["arm"], r["folder"], r["weights"]) == ("ultralytics", folder, weights)]
            if not ours:
                continue
            rates = {lr: mean([r["val"] for r in theirs if r["lr"] == lr]) for lr in sorted({r["lr"] for r in theirs})}
            best = max(rates, key=rates.get) if rates else None
            others = ", ".join("%s at %g" % (percent(v), k) for k, v in rates.items() if k != best) or "others not measured"
            print("| %s | %s | %d | %s | **%s** | %+.1f | %s | %s | %.0f | %s | %s |" % (
                folder, weights, len(ours), percent(mean([r["frozen"] for r in ours])), percent(mean([r["val"] for r in ours])),
                100 * min(r["val"] - r["frozen"] for r in ours),
                "%s at %g; %s" % (percent(rates[best]), best, others) if rates else "-",
                percent(mean([r["val"] for r in ultra])), mean([r["cpu"] for r in ours]), "%.0f" % mean([r["cpu"] for r in theirs]) if theirs else "-", "%.0f" % mean([r["cpu"] for r in ultra]) if ultra else "-"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folders")
    p.add_argument("--weights")
    p.add_argument("--mobilenet", default="mobilenet")
    p.add_argument("--out", default="runs.jsonl")
    p.add_argument("--arm", choices=("mobilenet", "pytorch", "ultralytics"), help="only these runs")
    p.add_argument("--shard", default="0/1", help="0/2 and 1/2: two processes at once, each every other run")
    p.add_argument("--table", metavar="FILE", help="print what FILE has, as a table")
    a = p.parse_args()
    if a.table:
        return table(open(a.table))
    done = set()
    key = lambda job: tuple(str(job.get(k)) for k in ("arm", "folder", "weights", "seed", "resolution", "lr"))
    if os.path.exists(a.out):
        with open(a.out) as f:
            done = {key(json.loads(line)) for line in f}
    part, of = map(int, a.shard.split("/"))
    for job in [j for j in jobs() if a.arm in (None, j["arm"])][part::of]:
        if key(job) in done:
            continue
        result = {"mobilenet": mobilenet, "pytorch": pytorch, "ultralytics": ultralytics}[job["arm"]](a, job)
        with open(a.out, "a") as f:
            f.write(json.dumps({**job, **result}) + "\n")
        print(job, percent_of(result), flush=True)


def percent_of(result):
    return "%.1f %% in %.0f s" % (100 * result["val"], result["seconds"])


if __name__ == "__main__":
    main()
