"""Measures networks of 8-bit integers beside their peers, in alternation, and prints tables.

Speed: our engine beside ONNX Runtime and OpenVINO on our QDQ file, LiteRT on our .tflite,
OpenVINO on what NNCF makes of the same float32 network, and our own float32. Accuracy, where
--model and --data are given: how far each tool's network is from float32, and how often it is
right, on photos that it was not calibrated with: each half of them, calibrated with the other.
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

# First, since it clears what would slow numpy down.
from common import photos, processor, report, whole_process

import numpy as np
from PIL import Image

from compare import MEAN, STD, Case, ONNXRuntime, OpenVINO, Peer, summary

FEATURES = ("avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "asimddp")


class Skipped(Exception):
    pass


class LiteRT(Peer):
    name = "LiteRT"

    def __init__(self, path, c):
        from ai_edge_litert.interpreter import Interpreter
        self.interpreter = Interpreter(model_path=path, num_threads=c.threads)
        if not any(t["dtype"] == np.int8 for t in self.interpreter.get_tensor_details()):
            raise Skipped("LiteRT: %s is not of 8-bit integers" % os.path.basename(path))
        i = self.interpreter.get_input_details()[0]
        if i["shape"][0] != c.batch:
            self.interpreter.resize_tensor_input(i["index"], [c.batch] + list(i["shape"][1:]))
        try:
            self.interpreter.allocate_tensors()
        except RuntimeError as e:  # its reshape has the batch in a constant
            raise Skipped("LiteRT: a batch of %d: %s" % (c.batch, str(e).splitlines()[0]))
        i = self.interpreter.get_input_details()[0]
        x = np.random.default_rng(1).integers(0, 127, i["shape"])
        self.interpreter.set_tensor(i["index"], x.astype(i["dtype"]))

    @staticmethod
    def version():
        import ai_edge_litert
        return getattr(ai_edge_litert, "__version__", "?")

    def run(self):
        self.interpreter.invoke()


class NNCF(OpenVINO):
    """OpenVINO on NNCF's network; path is that of a float32 network."""
    name = "NNCF, OpenVINO"

    def __init__(self, path, c, calibrate=None, fast=True):
        import nncf
        import openvino
        calibrate = calibrate or [c.input()[:1] for _ in range(2)]
        model = nncf.quantize(openvino.Core().read_model(path), nncf.Dataset(calibrate), subset_size=len(calibrate),
                              preset=nncf.QuantizationPreset.MIXED, fast_bias_correction=fast)
        model.reshape([c.batch, 3, c.resolution, c.resolution])
        self.model = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": c.threads, "INFERENCE_PRECISION_HINT": "f32"})
        self.request = self.model.create_infer_request()
        self.x = c.input()

    @staticmethod
    def version():
        import nncf
        return nncf.__version__


def installed(kinds):
    out = {}
    for kind in kinds:
        try:
            out[kind] = kind.version()
        except ImportError as e:
            print("skipped: %s: %s" % (kind.name, e), file=sys.stderr)
    return out


class Ours:
    """mobilenet bench on a file, as a process a round."""

    def __init__(self, binary, path, cpu=""):
        self.command, self.env = [binary, "bench", "-m", path, "--format", "json"], dict(os.environ, MOBILENET_CPU=cpu) if cpu else None

    def round(self, c, runs):
        out = subprocess.run(self.command + ["--threads", str(c.threads), "--batch", str(c.batch), "--runs", str(runs)],
                             check=True, capture_output=True, env=self.env).stdout
        self.last = json.loads(out)
        return self.last["min_ms"], self.last["median_ms"]


class Files:
    """The networks to measure: weights, and what our commands make of them."""

    def __init__(self, tools, folder, weights, data):
        self.tools, self.folder, self.float = tools, folder, weights
        self.int8 = os.path.join(folder, "int8.safetensors")
        self.command("quantize", "-m", weights, "-d", data, "-o", self.int8)

    def command(self, *args):
        subprocess.run([self.tools.mobilenet] + list(args), check=True, capture_output=True, text=True)

    def export(self, model, ending, batch=1):
        """Returns the file, or None where this version doesn't write such files."""
        path = "%s-b%d%s" % (os.path.splitext(model)[0] if model == self.int8 else os.path.join(self.folder, "float32"), batch, ending)
        if not os.path.exists(path):
            size = ["--batch", str(batch)] if ending == ".onnx" else []
            try:
                self.command("export", "-m", model, "-o", path, *size)
            except subprocess.CalledProcessError as e:
                print("skipped: %s: %s" % (os.path.basename(path), e.stderr.strip()), file=sys.stderr)
                return None
        return path


def speed(files, kinds, c, rounds, runs):
    """Returns rows: our 8 bits beside each peer, and beside our float32."""
    ours, exact = Ours(files.tools.mobilenet, files.int8, c.cpu), Ours(files.tools.mobilenet, files.float, c.cpu)
    theirs = []
    for kind in kinds if not c.cpu else []:
        path = {LiteRT: lambda: files.export(files.int8, ".tflite"),
                NNCF: lambda: files.export(files.float, ".onnx", 1)}.get(kind, lambda: files.export(files.int8, ".onnx", c.batch))()
        try:
            if path:
                theirs.append(kind(path, c))
        except Skipped as e:
            print("skipped:", e, file=sys.stderr)
    mine, floats, other = [], [], {p.name: [] for p in theirs}
    per = max(3, runs // c.batch)
    for _ in range(rounds):
        mine.append(ours.round(c, per))
        floats.append(exact.round(c, per))
        for p in theirs:
            other[p.name].append(p.time(per))
    other["our float32"] = floats
    (m0, m1), cpu = summary(mine), ours.last["cpu"]
    rows = []
    for name, v in other.items():
        t0, t1 = summary(v)
        rows.append([c.what, cpu, name] + ["%.2f" % x for x in (m0, m1, t0, t1)] + ["ms", "%.2f" % (m0 / t0), "%.2f" % (m1 / t1)])
    if c.batch == 1:
        rows.append([c.what + ": activations", cpu, "", "%.2f" % (ours.last["activation_bytes"] / 1e6), "",
                     "%.2f" % (exact.last["activation_bytes"] / 1e6), "", "MB", "%.2f" % (ours.last["activation_bytes"] / exact.last["activation_bytes"]), ""])
    return rows


def pipeline(files, folder, rounds, n):
    """Rows of whole processes: photos to labels, one photo, and quantising itself."""
    jpegs = os.path.join(folder, "jpegs")
    os.mkdir(jpegs)
    photos(jpegs, n)
    env = dict(os.environ, MOBILENET_CACHE=os.path.join(folder, "cache"))
    first = os.path.join(jpegs, sorted(os.listdir(jpegs))[0])
    rate, single = {}, {}
    for model in (files.int8, files.float):
        whole_process([files.tools.mobilenet, "predict", "--model", model, first], env)  # fills the cache
        rate[model], single[model] = [], []
    for _ in range(rounds):
        for model in rate:
            took, _ = whole_process([files.tools.mobilenet, "predict", "--model", model, "--threads", "2", "--format", "csv", jpegs], env)
            rate[model].append(1000 * n / took)
            single[model] += [whole_process([files.tools.mobilenet, "predict", "--model", model, first], env) for _ in range(10)]
    ours, exact = rate.values()
    rows = [["500x375 JPEG files to labels, 2 cores", "", "our float32"] +
            ["%.0f" % v for v in (max(ours), statistics.median(ours), max(exact), statistics.median(exact))] +
            ["photos/s", "%.2f" % (max(ours) / max(exact)), "%.2f" % (statistics.median(ours) / statistics.median(exact))]]
    ours, exact = single.values()
    for i, (what, unit) in enumerate((("predict on one photo, whole process", "ms"), ("its peak memory", "MB"))):
        a, b = [v[i] for v in ours], [v[i] for v in exact]
        rows.append([what, "", "our float32"] + ["%.1f" % v for v in (min(a), statistics.median(a), min(b), statistics.median(b))] +
                    [unit, "%.2f" % (min(a) / min(b)), "%.2f" % (statistics.median(a) / statistics.median(b))])
    took = [whole_process([files.tools.mobilenet, "quantize", "-m", files.float, "-d", jpegs, "--photos", str(n), "--threads", "2",
                           "-o", os.path.join(folder, "again.safetensors")])[0] / 1000 for _ in range(min(2, rounds))]
    rows.append(["quantise, %d photos" % n, "", "", "%.1f" % min(took), "%.1f" % statistics.median(took), "", "", "s", "", ""])
    return rows


def prepared(path, resolution):
    """A photo as torchvision prepares it: [1,3,H,W]."""
    im = Image.open(path).convert("RGB")
    side = resolution * 256 // 224
    scale = side / min(im.size)
    im = im.resize(tuple(max(side, int(v * scale)) for v in im.size), Image.BILINEAR)
    left, top = ((v - resolution) // 2 for v in im.size)
    x = (np.asarray(im.crop((left, top, left + resolution, top + resolution)), np.float32) / 255 - MEAN) / STD
    return x.transpose(2, 0, 1)[None]


def ort_static(path, out, calibrate, method, **options):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter(calibrate)

        def get_next(self):
            x = next(self.left, None)
            return x if x is None else {"images": x}

    quant_pre_process(path, out, skip_symbolic_shape=True)
    quantize_static(out, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8, calibrate_method=getattr(CalibrationMethod, method), extra_options=options)
    return out


def tools_for_accuracy(files, kinds, folder):
    """Returns, by name, what makes a network of photos and returns a function from other photos to logits."""
    exact = files.export(files.float, ".onnx", 1)

    def session(path):
        run = ONNXRuntime(path, Case("")).session.run
        return lambda others: [run(None, {"images": x})[0][0] for x in others]

    def ours(*flags):
        def make(paths, _):
            data = tempfile.mkdtemp(dir=folder)
            for p in paths:
                os.symlink(os.path.abspath(p), os.path.join(data, os.path.basename(p)))
            out = os.path.join(folder, "ours.safetensors")
            files.command("quantize", "-m", files.float, "-d", data, "--photos", str(len(paths)), "-o", out, *flags)
            files.command("export", "-m", out, "-o", out + ".onnx")
            return session(out + ".onnx")
        return make

    def static(method, **options):
        return lambda _, inputs: session(ort_static(exact, os.path.join(folder, "ort.onnx"), inputs, method, **options))

    def nncf(fast):
        def make(_, inputs):
            request = NNCF(exact, Case(""), inputs, fast).request
            return lambda others: [request.infer([x])[0][0].copy() for x in others]
        return make

    out = {"float32": lambda *_: session(exact), "ours": ours(),
           "ONNX Runtime, min-max": static("MinMax"), "ONNX Runtime, moving average": static("MinMax", CalibMovingAverage=True),
           "ONNX Runtime, percentile 99.99": static("Percentile", CalibPercentile=99.99)}
    if NNCF in kinds:
        out.update({"NNCF": nncf(True), "NNCF, full bias correction": nncf(False)})
    if brevitas_version():
        out.update({"Brevitas, " + setting: brevitas(files, folder, setting) for setting in ("percentile", "mse")})
    return out


BREVITAS = [os.environ.get("MOBILENET_BENCH_TORCH", "/usr/bin/python3"),
            os.path.join(os.path.dirname(os.path.abspath(__file__)), "brevitasquant.py")]


def brevitas(files, folder, setting):
    """Brevitas runs in a Python of its own."""
    photos, logits = os.path.join(folder, "photos.npz"), os.path.join(folder, "logits.npy")

    def make(_, inputs):
        def run(measure):
            np.savez(photos, calibrate=np.concatenate(inputs), measure=np.concatenate(measure))
            subprocess.run(BREVITAS + [files.float, photos, logits, setting], check=True, capture_output=True)
            return np.load(logits)
        return run
    return make


def brevitas_version():
    """None where there is none."""
    try:
        return subprocess.run(BREVITAS + ["--version"], check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        print("skipped: Brevitas: %s has no torch with brevitas" % BREVITAS[0], file=sys.stderr)


def log_softmax(v):
    v = v.astype(np.float64)
    v -= v.max(-1, keepdims=True)
    return v - np.log(np.exp(v).sum(-1, keepdims=True))


def accuracy(files, kinds, folder, data, resolution, most):
    """Rows of every tool: what its networks say of photos that they were not calibrated with."""
    table = os.path.join(data, "images.csv")
    labels = {}
    if os.path.exists(table):
        with open(table) as f:
            labels = {r["file"]: int(r["label"]) for r in csv.DictReader(f)}
    paths = sorted(os.path.join(d, f) for d, _, names in os.walk(data) for f in names if f.lower().endswith((".png", ".jpg", ".jpeg")))[:most]
    inputs = [prepared(p, resolution) for p in paths]
    truth = np.array([labels.get(os.path.basename(p), -1) for p in paths])
    exact, rows = None, []
    for name, make in tools_for_accuracy(files, kinds, folder).items():
        print(name, file=sys.stderr)
        got = [None] * len(paths)
        for half in (0, 1):
            run = make(paths[half::2], inputs[half::2])
            got[1 - half::2] = list(run(inputs[1 - half::2]))
        got = np.array(got)
        exact = got if exact is None else exact
        noise = ((got.astype(np.float64) - exact) ** 2).sum()
        p, q = log_softmax(exact), log_softmax(got)
        known = truth >= 0
        rows.append([name, "%.2f" % (10 * np.log10((exact.astype(np.float64) ** 2).sum() / noise)) if noise else "",
                     "%.4f" % (np.exp(p) * (p - q)).sum(-1).mean(), "%d" % (got.argmax(1) != exact.argmax(1)).sum(),
                     "%.2f" % (100 * (got.argmax(1) == truth)[known].mean()) if known.any() else "", "%d" % len(paths)])
    return rows


def features():
    if not os.path.exists("/proc/cpuinfo"):
        return "?"
    with open("/proc/cpuinfo") as f:
        flags = next((line.split() for line in f if line.startswith(("flags", "Features"))), [])
    return " ".join(f for f in FEATURES if f in flags)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--mobilenet", required=True, help="the binary to measure")
    p.add_argument("--newmodel", required=True, help="the binary of bench/newmodel")
    p.add_argument("--model", default="", help="weights; random ones if not given, and then no accuracy")
    p.add_argument("--data", default="", help="folder of photos to calibrate and measure with, and perhaps images.csv with file and label")
    p.add_argument("--quick", action="store_true", help="fewer rounds and photos, for a first look")
    p.add_argument("--out", default="", help="folder for int8.md, int8.csv, int8-accuracy.md and int8-accuracy.csv")
    a = p.parse_args()
    rounds, runs, n = (2, 20, 40) if a.quick else (5, 60, 128)
    cores = min(2, os.cpu_count())
    cases = [Case("batch 1, 1 thread"), Case("batch 1, 2 threads", threads=cores), Case("batch 32, 1 thread", batch=32),
             Case("batch 32, 2 threads", threads=cores, batch=32)]
    if "avx2" in features():
        cases.append(Case("batch 1, 1 thread, avx2", cpu="avx2"))
    kinds = installed((ONNXRuntime, OpenVINO, LiteRT, NNCF))
    print("%s (%s), %d cores; %s; numpy %s, Pillow %s; %d rounds\n" % (
        processor(), features(), os.cpu_count(), ", ".join("%s %s" % (k.name, v) for k, v in kinds.items()), np.__version__, Image.__version__, rounds))
    with tempfile.TemporaryDirectory() as folder:
        weights, data = a.model, a.data
        if not weights:
            weights = os.path.join(folder, "random.safetensors")
            subprocess.run([a.newmodel, "-o", weights], check=True)
        if not data:
            data = os.path.join(folder, "photos")
            os.mkdir(data)
            photos(data, 16)
        files = Files(a, folder, weights, data)
        rows = [["what", "kernels", "beside", "ours min", "median", "theirs min", "median", "unit", "ratio of min", "of medians"]]
        for c in cases:
            print(c.what, file=sys.stderr)
            rows += speed(files, kinds, c, rounds, runs)
        rows += pipeline(files, folder, rounds, n)
        report(rows, a.out, "int8")
        if a.model and a.data:
            print()
            rows = [["calibrated by", "logit SQNR, dB", "KL", "other best class", "top-1 %", "photos"]]
            report(rows + accuracy(files, kinds, folder, a.data, 224, 40 if a.quick else 10_000), a.out, "int8-accuracy")


if __name__ == "__main__":
    main()
