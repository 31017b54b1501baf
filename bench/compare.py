"""Measures this project beside its peers, in alternation, and prints a table.

Each row is measured in rounds; in every round each side runs for a moment, so
that a machine that gets slower or faster does so for all. The ratio is that of
the best runs, and that of the medians; where there are several peers, a row says
how we are beside the best of them.
"""
import argparse
import importlib.util
import io
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

# First, since it clears what would slow numpy down.
from common import TORCH_PYTHON, photos, processor, report, torch_version, whole_process

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


class Peer:
    """A peer measured in this process: run is one batch."""

    def time(self, runs):
        """Returns the least and the median of as many runs, in milliseconds."""
        for _ in range(3):
            self.run()
        took = []
        for _ in range(runs):
            start = time.perf_counter()
            self.run()
            took.append(1000 * (time.perf_counter() - start))
        return min(took), statistics.median(took)


class ONNXRuntime(Peer):
    name = "ONNX Runtime"

    def __init__(self, path, c):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = c.threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.x = c.input()

    @staticmethod
    def version():
        return onnxruntime.__version__

    def run(self):
        self.session.run(None, {"images": self.x})


class OpenVINO(Peer):
    name = "OpenVINO"

    def __init__(self, path, c):
        import openvino
        self.model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": c.threads, "INFERENCE_PRECISION_HINT": "f32"})
        self.request = self.model.create_infer_request()
        self.x = c.input()

    @staticmethod
    def version():
        import openvino
        return openvino.__version__.split("-")[0]

    def run(self):
        self.request.infer([self.x])


class NCNN(Peer):
    """Has no batches: they are run image by image."""
    name = "ncnn"

    def __init__(self, path, c):
        import ncnn
        self.net = ncnn.Net()
        self.net.opt.num_threads = c.threads
        param, weights = self.convert(path, c)
        if self.net.load_param(param) != 0 or self.net.load_model(weights) != 0:
            raise RuntimeError("ncnn can't load " + param)
        self.images = [ncnn.Mat(image) for image in c.input()]

    @staticmethod
    def convert(path, c):
        stem = os.path.join(os.path.dirname(path), "ncnn_w%s_r%d" % (c.width, c.resolution))
        if not os.path.exists(stem + ".param"):
            subprocess.run([pnnx(), path, "inputshape=[1,3,%d,%d]" % (c.resolution, c.resolution), "fp16=0",
                            "ncnnparam=%s.param" % stem, "ncnnbin=%s.bin" % stem], check=True, capture_output=True, cwd=os.path.dirname(path))
        return stem + ".param", stem + ".bin"

    @staticmethod
    def version():
        import ncnn
        if not os.path.exists(pnnx()):
            raise ImportError("pnnx is not installed")
        return ncnn.__version__

    def run(self):
        for image in self.images:
            extractor = self.net.create_extractor()
            extractor.input("in0", image)
            extractor.extract("out0")


def pnnx():
    """The converter's program. Importing its package would need torch."""
    spec = importlib.util.find_spec("pnnx")
    if spec is None:
        raise ImportError("pnnx is not installed")
    return os.path.join(os.path.dirname(spec.origin), "pnnx")


class PyTorch:
    """torchvision's network in TorchScript, in an interpreter of its own."""
    name = "PyTorch"
    version = staticmethod(torch_version)

    def __init__(self, path, c):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torchinfer.py")
        self.process = subprocess.Popen([TORCH_PYTHON, script, str(c.width), str(c.resolution), str(c.batch), str(c.threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.process.stdout.readline()

    def time(self, runs):
        self.process.stdin.write("%d\n" % runs)
        least, median = self.process.stdout.readline().split()
        return float(least), float(median)

    def __del__(self):
        self.process.stdin.close()
        self.process.wait()


def peers(torch):
    """Returns the peers that are installed here, and their versions."""
    out = {}
    for kind in (ONNXRuntime, OpenVINO, NCNN) + ((PyTorch,) if torch else ()):
        try:
            out[kind] = kind.version()
        except ImportError as e:
            print("skipped: %s: %s" % (kind.name, e), file=sys.stderr)
    return out


class Case:
    def __init__(self, what, threads=1, batch=1, width=1.0, resolution=224, cpu=""):
        self.what, self.threads, self.batch, self.width, self.resolution, self.cpu = what, threads, batch, width, resolution, cpu

    def single(self):
        return Case(self.what, self.threads, 1, self.width, self.resolution, self.cpu)

    def input(self):
        return np.random.default_rng(1).standard_normal((self.batch, 3, self.resolution, self.resolution), np.float32)


def export(tools, c, folder):
    """A network with random weights and our own export of it: the peers run the same graph."""
    path = os.path.join(folder, "w%s_r%d_b%d.onnx" % (c.width, c.resolution, c.batch))
    if not os.path.exists(path):
        weights = path + ".safetensors"
        subprocess.run([tools.newmodel, "-width", str(c.width), "-resolution", str(c.resolution), "-o", weights], check=True)
        subprocess.run([tools.mobilenet, "export", "-m", weights, "--batch", str(c.batch), "-o", path], check=True, capture_output=True)
    return path


def measure(tools, kinds, c, folder, rounds, runs):
    """Returns what mobilenet bench says and rows (peer, (our min, our median), (their min, their median))."""
    ours = Ours(tools.mobilenet, c.cpu)
    # ncnn's converter takes the network for one image.
    theirs = [kind(export(tools, c.single() if kind is NCNN else c, folder), c) for kind in kinds]
    mine, other = [], {p.name: [] for p in theirs}
    per = max(3, runs // c.batch)
    for _ in range(rounds):
        mine.append(ours.round(c, per))
        for p in theirs:
            other[p.name].append(p.time(per))
    return ours.last, [(name, summary(mine), summary(v)) for name, v in other.items()]


def summary(rounds):
    return min(a for a, _ in rounds), statistics.median(b for _, b in rounds)


def classify_part(args):
    path, files = args
    session = ONNXRuntime(path, Case("")).session
    for f in files:
        im = Image.open(f).convert("RGB").resize((341, 256), Image.BILINEAR).crop((58, 16, 282, 240))
        x = (np.asarray(im, np.float32) / 255 - MEAN) / STD
        session.run(None, {"images": x.transpose(2, 0, 1)[None]})[0].argmax()


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


def png(tools, folder, rounds):
    """Milliseconds that 20 PNG files of photos take from bytes to pixels, on one core."""
    pngs = os.path.join(folder, "png")
    os.mkdir(pngs)
    photos(pngs, 20)
    files = []
    for f in sorted(os.listdir(pngs)):
        files.append(os.path.join(pngs, f[:-3] + "png"))
        Image.open(os.path.join(pngs, f)).save(files[-1])
    data = [open(f, "rb").read() for f in files]
    mine, other = [], []
    for _ in range(rounds):
        mine.append(float(subprocess.run([tools.decode, "-runs", "5"] + files, check=True, capture_output=True).stdout))
        for _ in range(5):
            start = time.perf_counter()
            for d in data:
                Image.open(io.BytesIO(d)).convert("RGB").load()
            other.append(1000 * (time.perf_counter() - start))
    return mine, other


def rates(what, peer, mine, other, unit):
    """A row in which more is better."""
    best, median = max(mine) / max(other), statistics.median(mine) / statistics.median(other)
    return [what, "", peer] + ["%.0f" % v for v in (max(mine), statistics.median(mine), max(other), statistics.median(other))] + [
        unit, "%.2f" % best, "%.2f" % median]


PHOTOS, PNG, START = "500x375 JPEG files to labels, 2 cores", "PNG decoding, 1 core", "predict on one photo, whole process"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--mobilenet", required=True, help="the binary to measure")
    p.add_argument("--newmodel", required=True, help="the binary of bench/newmodel")
    p.add_argument("--decode", required=True, help="the binary of bench/decode")
    p.add_argument("--quick", action="store_true", help="fewer rounds, for a first look")
    p.add_argument("--only", action="append", default=[], help="only rows whose name has this in it")
    p.add_argument("--list", action="store_true", help="list the rows")
    p.add_argument("--torch", action="store_true", help="measure PyTorch, too")
    p.add_argument("--out", default="", help="folder for bench.md and bench.csv")
    a = p.parse_args()
    rounds, runs = (2, 20) if a.quick else (8, 40)
    cores = min(2, os.cpu_count())
    one, two = Case("batch 1, 1 thread"), Case("batch 1, 2 threads", threads=cores)
    cases = [
        one, two,
        Case("batch 32, 2 threads", threads=cores, batch=32),
        Case("width 0.35, 1 thread", width=0.35), Case("width 1.4, 1 thread", width=1.4),
        Case("resolution 96, 1 thread", resolution=96), Case("resolution 320, 1 thread", resolution=320),
        Case("batch 1, 1 thread, our kernels AVX2", cpu="avx2") if platform.machine() == "x86_64" else None,
        Case("batch 1, 1 thread, ours in plain Go", cpu="generic"),
    ]
    cases = [c for c in cases if c is not None]

    def wanted(name):
        return not a.only or any(text in name for text in a.only)

    if a.list:
        print("\n".join([c.what for c in cases] + [PHOTOS, PNG, START]))
        return
    kinds = peers(a.torch)
    rows = [["what", "kernels", "peer", "ours min", "median", "theirs min", "median", "unit", "ratio of min", "of medians"]]
    page, ours = 0, {}
    with tempfile.TemporaryDirectory() as folder:
        for c in cases:
            if not wanted(c.what):
                continue
            print(c.what, file=sys.stderr)
            said, results = measure(a, kinds, c, folder, rounds, runs)
            page = said.get("page_bytes", 0)
            ours[c] = results[0][1]
            best = min(t0 for _, _, (t0, _) in results)
            for peer, (m0, m1), (t0, t1) in results:
                if t0 == best and len(results) > 1:
                    peer += ", the best"
                rows.append([c.what, said["cpu"], peer] + ["%.2f" % v for v in (m0, m1, t0, t1)] + ["ms", "%.2f" % (m0 / t0), "%.2f" % (m1 / t1)])
        if one in ours and two in ours:
            gain = ["%.2f" % (t1 / t2) for t1, t2 in zip(ours[one], ours[two])]
            rows.append(["batch 1, 2 threads to 1 thread, ours", "", ""] + gain + ["", "", "times", "", ""])
        if wanted(PHOTOS) or wanted(START):
            print(PHOTOS, file=sys.stderr)
            mine, other, single = pipeline(a, folder, min(rounds, 5), 60 if a.quick else 200)
            rows.append(rates(PHOTOS, "Pillow, ONNX Runtime, 2 processes", mine, other, "photos/s"))
            for i, (what, unit) in enumerate(((START, "ms"), ("its peak memory", "MB"))):
                v = [s[i] for s in single]
                rows.append([what, "", "", "%.1f" % min(v), "%.1f" % statistics.median(v), "", "", unit, "", ""])
        if wanted(PNG):
            print(PNG, file=sys.stderr)
            mine, other = png(a, folder, rounds)
            rows.append(rates(PNG, "Pillow", [20000 / v for v in mine], [20000 / v for v in other], "photos/s"))
    versions = ["%s %s" % (kind.name, version) for kind, version in kinds.items()]
    print("%s, %d cores, pages of our weights %s; mobilenet %s; %s; numpy %s, Pillow %s, Python %s; %d rounds of %d runs\n" % (
        processor(), os.cpu_count(), "%d KB" % (page >> 10) if page else "unknown", version(a.mobilenet), ", ".join(versions),
        np.__version__, Image.__version__, platform.python_version(), rounds, runs))
    report(rows, a.out, "bench")


def version(mobilenet):
    """What the binary says of itself."""
    return subprocess.run([mobilenet, "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]


if __name__ == "__main__":
    main()
