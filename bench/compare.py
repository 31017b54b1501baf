"""Measures this project beside its peers, in alternation, and prints a table.

Each row is measured in rounds; in every round each side runs for a moment, so
that a machine that gets slower or faster does so for all. The ratio is that of
the best runs, and, in brackets, of the medians.
"""
import argparse
import csv
import json
import multiprocessing
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time

# OpenBLAS settings of the surroundings would slow numpy down, not the peers.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import numpy as np
import onnxruntime
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


class Ours:
    """mobilenet bench, as a process a round."""

    def __init__(self, binary, cpu=""):
        self.binary, self.env = binary, dict(os.environ, MOBILENET_CPU=cpu) if cpu else None

    def round(self, c, runs):
        out = subprocess.run([self.binary, "bench", "--format", "json", "--threads", str(c.threads), "--batch", str(c.batch),
                              "--resolution", str(c.resolution), "--width", str(c.width), "--runs", str(runs)],
                             check=True, capture_output=True, env=self.env).stdout
        r = json.loads(out)
        self.last = r
        return r["min_ms"], r["median_ms"]


class ONNXRuntime:
    name = "ONNX Runtime"

    def __init__(self, path, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, x):
        self.session.run(None, {"images": x})


class OpenVINO:
    name = "OpenVINO"

    def __init__(self, path, threads):
        import openvino
        self.model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
        self.request = self.model.create_infer_request()

    def run(self, x):
        self.request.infer([x])


def peers():
    out = [ONNXRuntime]
    try:
        import openvino  # noqa: F401
        out.append(OpenVINO)
    except ImportError:
        print("skipped: openvino is not installed", file=sys.stderr)
    return out


def time_peer(peer, x, runs):
    for _ in range(3):
        peer.run(x)
    took = []
    for _ in range(runs):
        start = time.perf_counter()
        peer.run(x)
        took.append(1000 * (time.perf_counter() - start))
    return min(took), statistics.median(took)


class Case:
    def __init__(self, what, threads=1, batch=1, width=1.0, resolution=224, cpu=""):
        self.what, self.threads, self.batch, self.width, self.resolution, self.cpu = what, threads, batch, width, resolution, cpu


def export(tools, c, folder):
    """A network with random weights and our own export of it: the peers run the same graph."""
    path = os.path.join(folder, "w%s_r%d_b%d.onnx" % (c.width, c.resolution, c.batch))
    if not os.path.exists(path):
        weights = path + ".safetensors"
        subprocess.run([tools.newmodel, "-width", str(c.width), "-resolution", str(c.resolution), "-o", weights], check=True)
        subprocess.run([tools.mobilenet, "export", "-m", weights, "--batch", str(c.batch), "-o", path], check=True, capture_output=True)
    return path


def measure(tools, c, folder, rounds, runs):
    """Returns rows (what, peer, our min, our median, their min, their median)."""
    ours = Ours(tools.mobilenet, c.cpu)
    x = np.random.default_rng(1).standard_normal((c.batch, 3, c.resolution, c.resolution), np.float32)
    path = export(tools, c, folder)
    theirs = [kind(path, c.threads) for kind in peers()]
    mine, other = [], {p.name: [] for p in theirs}
    per = max(3, runs // c.batch)
    for _ in range(rounds):
        mine.append(ours.round(c, per))
        for p in theirs:
            other[p.name].append(time_peer(p, x, per))
    best = lambda v: (min(a for a, _ in v), statistics.median(b for _, b in v))
    return ours.last["cpu"], [(name, best(mine), best(v)) for name, v in other.items()]


def photos(folder, n):
    """JPEG files of 500x375 with as much detail as photos have."""
    r = random.Random(1)
    for i in range(n):
        small = Image.frombytes("RGB", (40, 30), bytes(r.randrange(256) for _ in range(40 * 30 * 3)))
        noise = Image.frombytes("RGB", (500, 375), r.randbytes(500 * 375 * 3))
        Image.blend(small.resize((500, 375), Image.BICUBIC), noise, 0.08).save(os.path.join(folder, "%04d.jpg" % i), quality=90)


def classify_part(args):
    path, files = args
    session = ONNXRuntime(path, 1).session
    for f in files:
        im = Image.open(f).convert("RGB").resize((341, 256), Image.BILINEAR).crop((58, 16, 282, 240))
        x = (np.asarray(im, np.float32) / 255 - MEAN) / STD
        session.run(None, {"images": x.transpose(2, 0, 1)[None]})[0].argmax()


# A process as small as this one's interpreter starts the command: the peak that the
# system reports begins with that of whoever started it.
SPAWN = """
import os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(1000 * (time.perf_counter() - start), usage.ru_maxrss / 1024, status)
"""


def whole_process(command, env):
    """Returns the milliseconds and the peak MB of a command."""
    out = subprocess.run([sys.executable, "-S", "-E", "-c", SPAWN] + command, env=env, check=True, capture_output=True, text=True).stdout
    took, peak, status = out.split()
    assert status == "0", command
    return float(took), float(peak)


def pipeline(tools, folder, rounds, n):
    """Photos a second from files to labels, on two cores."""
    jpegs = os.path.join(folder, "photos")
    os.mkdir(jpegs)
    photos(jpegs, n)
    path = export(tools, Case(""), folder)
    env = dict(os.environ, MOBILENET_CACHE=os.path.join(folder, "cache"))
    command = [tools.mobilenet, "predict", "--model", path, "--threads", "2", "--format", "csv", jpegs]
    files = [os.path.join(jpegs, f) for f in sorted(os.listdir(jpegs))]
    mine, other = [], []
    whole_process(command, env)
    for _ in range(rounds):
        mine.append(n / whole_process(command, env)[0] * 1000)
        start = time.perf_counter()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(classify_part, [(path, files[i::2]) for i in range(2)])
        other.append(n / (time.perf_counter() - start))
    single = [whole_process([tools.mobilenet, "predict", "--model", path, files[0]], env) for _ in range(10 * rounds)]
    return mine, other, single


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--mobilenet", required=True, help="the binary to measure")
    p.add_argument("--newmodel", required=True, help="the binary of bench/newmodel")
    p.add_argument("--quick", action="store_true", help="fewer rounds, for a first look")
    p.add_argument("--out", default="", help="folder for bench.md and bench.csv")
    a = p.parse_args()
    rounds, runs = (2, 20) if a.quick else (5, 60)
    cores = min(2, os.cpu_count())
    cases = [
        Case("batch 1, 1 thread"), Case("batch 1, 2 threads", threads=cores),
        Case("batch 8, 2 threads", threads=cores, batch=8), Case("batch 32, 2 threads", threads=cores, batch=32),
        Case("width 0.35, 1 thread", width=0.35), Case("width 1.4, 1 thread", width=1.4),
        Case("resolution 96, 1 thread", resolution=96), Case("resolution 320, 1 thread", resolution=320),
        Case("batch 1, 1 thread, avx2", cpu="avx2") if platform.machine() == "x86_64" else None,
        Case("batch 1, 1 thread, plain Go", cpu="generic"),
    ]
    rows = [["what", "kernels", "peer", "ours min", "median", "theirs min", "median", "unit", "ratio of min", "of medians"]]
    with tempfile.TemporaryDirectory() as folder:
        for c in filter(None, cases):
            print(c.what, file=sys.stderr)
            cpu, results = measure(a, c, folder, rounds, runs)
            for peer, (m0, m1), (t0, t1) in results:
                rows.append([c.what, cpu, peer] + ["%.2f" % v for v in (m0, m1, t0, t1)] + ["ms", "%.2f" % (m0 / t0), "%.2f" % (m1 / t1)])
        mine, other, single = pipeline(a, folder, rounds, 60 if a.quick else 200)
        rows.append(["500x375 JPEG files to labels, 2 cores", "", "Pillow, ONNX Runtime, 2 processes"] +
                    ["%.0f" % v for v in (max(mine), statistics.median(mine), max(other), statistics.median(other))] +
                    ["photos/s", "%.2f" % (max(mine) / max(other)), "%.2f" % (statistics.median(mine) / statistics.median(other))])
        for i, (what, unit) in enumerate((("predict on one photo, whole process", "ms"), ("its peak memory", "MB"))):
            v = [s[i] for s in single]
            rows.append([what, "", "", "%.1f" % min(v), "%.1f" % statistics.median(v), "", "", unit, "", ""])
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), model)
    print("%s, %d cores; ONNX Runtime %s, numpy %s, Pillow %s; %d rounds\n" % (
        model, os.cpu_count(), onnxruntime.__version__, np.__version__, Image.__version__, rounds))
    lines = ["| " + " | ".join(r) + " |" for r in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    print("\n".join(lines))
    if a.out:
        os.makedirs(a.out, exist_ok=True)
        with open(os.path.join(a.out, "bench.md"), "w") as f:
            f.write("\n".join(lines) + "\n")
        with open(os.path.join(a.out, "bench.csv"), "w", newline="") as f:
            csv.writer(f).writerows(rows)


if __name__ == "__main__":
    main()
