package checkpoint

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// python runs a script with Debian's torch and returns what it prints.
func python(t *testing.T, script string, args ...string) string {
	t.Helper()
	exe := testenv.SystemPython(t, "torch", "torchvision")
	cmd := exec.Command(exe, append([]string{"-c", script}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestTorchSaves has torch save the golden network in the ways of training
// scripts. All of them hold the same weights.
func TestTorchSaves(t *testing.T) {
	const script = `
import argparse, collections, datetime, os, pathlib, sys, zipfile
import numpy as np, torch
from torch import nn

state, out = torch.load(sys.argv[1]), sys.argv[2]

def save(name, value, **options):
    torch.save(value, os.path.join(out, name + ".pth"), **options)

class Logger:  # known to nobody else
    def __init__(self, tensor):
        self.best, self.tensor, self.me = 0.5, tensor, self

def prefixed(prefix, d):
    return collections.OrderedDict((prefix + k, v) for k, v in d.items())

params = [v for v in state.values() if v.dim() == 4]
parameters = [nn.Parameter(p.clone()) for p in params]
adam = torch.optim.Adam(parameters)
sum(p.sum() for p in parameters).backward()
adam.step()
extras = {
    "epoch": 3, "step": torch.tensor(7), "best": np.float64(0.25), "array": np.arange(3), "none": None, "big": 1 << 80,
    "set": {1, 2}, "frozen": frozenset("ab"), "bytes": b"abc", "complex": 1j, "when": datetime.datetime.now(),
    "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs"), nested=[(None, True, "x")]),
    "counts": collections.Counter("abca"), "default": collections.defaultdict(list, a=[1]),
    "optimizer": adam.state_dict(), "logger": Logger(torch.ones(3)), "size": torch.Size([1, 2]), "dtype": torch.float16,
    "device": torch.device("cpu"), "loop": [],
}
extras["loop"].append(extras["loop"])
for protocol in 2, 3, 4, 5:
    save(f"extras{protocol}", {**extras, "model": state}, pickle_protocol=protocol)
    save(f"legacy-extras{protocol}", {**extras, "model": state}, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
save("dict", dict(state))
save("parallel-compiled", prefixed("module._orig_mod.", state))
save("compiled-parallel", prefixed("_orig_mod.module.", state))
save("ema", {"model_ema": {"n_averaged": torch.tensor(5), **prefixed("module.module.", state)}})
save("ema-nested", {"model_ema": {"decay": 0.9, "state_dict": prefixed("module.", state)}})
save("lightning", {"state_dict": prefixed("model.", state), "epoch": 1})
save("parameters", {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()})
save("double", {k: v.double() if v.is_floating_point() else v.int() for k, v in state.items()})

def interleaved(v):  # every other element of a storage, from the third on
    s = torch.full([2 * v.numel() + 5], 9.0)
    w = s[3:3 + 2 * v.numel():2]
    w.copy_(v.flatten())
    return w.view(v.shape)
save("interleaved", {k: interleaved(v) if v.is_floating_point() else v for k, v in state.items()})
flat = torch.cat([v.flatten().float() for v in state.values()])
shared, at = {}, 0
for k, v in state.items():
    shared[k] = flat[at:at + v.numel()].view(v.shape)
    at += v.numel()
save("shared", shared)
save("legacy-shared", shared, _use_new_zipfile_serialization=False)
attributed = {k: v.clone() for k, v in state.items()}
for v in attributed.values():
    v.note = "attribute"
save("attributed", attributed)

with zipfile.ZipFile(sys.argv[1]) as z:
    for name, options in ("deflated", {}), ("zip64", {"force_zip64": True}):
        with zipfile.ZipFile(os.path.join(out, name + ".pth"), "w", zipfile.ZIP_DEFLATED if name == "deflated" else 0) as w:
            for n in z.namelist():
                with w.open(n, "w", **options) as f:
                    f.write(z.read(n))
`
	dir := t.TempDir()
	python(t, script, "testdata/zip.pth", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.pth"))
	if err != nil || len(files) != 22 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	want := golden(t)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			m, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			sameWeights(t, m.Dict, want.Dict, 0)
			if !m.Config.Equal(want.Config) {
				t.Errorf("config %+v", m.Config)
			}
		})
	}
}

// TestTorchLoads has torch load a file of ours strictly, and compute the same
// logits with it as with the one that torch saved.
func TestTorchLoads(t *testing.T) {
	const script = `
import sys, torch
from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

theirs, ours = torch.load(sys.argv[1]), torch.load(sys.argv[2])
safe = torch.load(sys.argv[2], weights_only=True)
assert list(ours) == list(theirs) == list(safe), "order"
for k, v in theirs.items():
    assert ours[k].dtype == v.dtype and ours[k].is_contiguous() and torch.equal(ours[k], v) and torch.equal(safe[k], v), k
    assert ours[k].data_ptr() % 64 == 0 or v.numel() < 16, k

def logits(state):
    table = [[1, 32, 1, 1], [6, 32, 2, 2], [4, 64, 2, 2], [2, 32, 1, 2]]
    net = MobileNetV2(num_classes=5, width_mult=0.25, inverted_residual_setting=table)
    net.features[-1] = Conv2dNormActivation(8, 64, kernel_size=1, activation_layer=nn.ReLU6)
    net.classifier[1] = nn.Linear(64, 5)
    net.load_state_dict(state, strict=True)
    with torch.no_grad():
        return net.eval()(torch.linspace(-2, 2, 2 * 3 * 64 * 64).view(2, 3, 64, 64))

assert torch.equal(logits(ours), logits(theirs)), "logits"
print("equal")
`
	path := filepath.Join(t.TempDir(), "ours.pth")
	if err := Save(path, golden(t), SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if out := python(t, script, "testdata/zip.pth", path); strings.TrimSpace(out) != "equal" {
		t.Errorf("%s", out)
	}
}

// TestTorchSavesBigEndian edits the machine's byte order in what torch saved.
func TestTorchSavesBigEndian(t *testing.T) {
	legacy, err := os.ReadFile("testdata/legacy.pth")
	if err != nil {
		t.Fatal(err)
	}
	// The pickle has "little_endian", its memo index, and NEWTRUE.
	at := strings.Index(string(legacy), "little_endian") + len("little_endian") + 2
	if legacy[at] != 0x88 {
		t.Fatalf("opcode %#x", legacy[at])
	}
	legacy[at] = 0x89
	if _, err := Parse(legacy); err == nil || !strings.Contains(err.Error(), "big-endian") {
		t.Errorf("error %v", err)
	}
}
