"""Writes the golden Keras files: keras.applications' MobileNetV2, saved by Keras in each
way that is read, and what Keras computes with it.

    KERAS_BACKEND=jax python3 checkpoint/testdata/golden_keras.py

Needs keras 3 with any backend, h5py and numpy; golden_keras.json has the versions. The
weights are few levels, so that gzip makes the files small; that is all that it is for.
keras2.h5 is laid out as tf.keras 2 does with save_weights, by h5py: TensorFlow has not
written it.

The input is not stored: value i of the batch [2][h][w][3] is
((i * 2654435761) >> 13 & 255) / 64 - 2, exact in float32; for files that normalise
themselves it is (i * 2654435761) >> 13 & 255.
"""
import gzip
import io
import json
import os
import tempfile

import h5py
import keras
import numpy as np
from keras import layers
from keras.applications.mobilenet_v2 import MobileNetV2, preprocess_input

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(3)
want = {"versions": {"keras": keras.__version__, "backend": keras.backend.backend(), "h5py": h5py.__version__, "numpy": np.__version__}}


def randomise(model):
    for w in model.weights:
        kind = w.path.split("/")[-1]
        if kind in ("gamma", "moving_variance"):
            v = rng.integers(2, 4, w.shape) / 2
        elif kind in ("beta", "moving_mean", "bias"):
            v = rng.integers(0, 2, w.shape) / 2 - 0.125
        else:
            fan_in = np.prod(w.shape[:2]) if "depthwise" in w.path else np.prod(w.shape[:-1])
            v = rng.integers(-1, 2, w.shape) * np.sqrt(1.5 / fan_in)
        w.assign(v.astype(np.float32))
    return model


def pack(name, data):
    with open(os.path.join(here, name + ".gz"), "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", filename="", mtime=0) as z:
        z.write(data)


def save(name, model, how, logits, raw=False, **expect):
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, name)
        how(path)
        pack(name, open(path, "rb").read())
    h, w = [n or 64 for n in model.input_shape[1:3]]
    v = (np.arange(2 * h * w * 3, dtype=np.uint64) * 2654435761 >> 13 & 255).astype(np.float64)
    x = (v if raw else v / 64 - 2).astype(np.float32).reshape(2, h, w, 3)
    y = np.asarray(logits.predict(x, verbose=0))[:, :16]
    print(name, y.shape, float(np.abs(y).max()), y.reshape(-1)[:5])
    want[name] = {"shape": [h, w], "logits": y.reshape(-1).astype(float).round(6).tolist(), "raw": raw, **expect}


def linear(model):
    """The model with its last layer's activation taken off."""
    last = model.layers[-1]
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.layers[-1].activation = keras.activations.linear
    return copy


plain = randomise(MobileNetV2(input_shape=(64, 64, 3), alpha=0.05, weights=None, classes=5))
logits = linear(plain)
save("plain.h5", plain, plain.save, logits)
save("plain.weights.h5", plain, plain.save_weights, logits)
save("plain.keras", plain, plain.save, logits)

# Odd sides, where TensorFlow's padding is on both, and every width of its own.
odd = randomise(MobileNetV2(input_shape=(65, 64, 3), alpha=0.05, weights=None, classes=5))
save("odd.keras", odd, odd.save, linear(odd))

# As tutorials have it: a Sequential of augmentation, preprocessing, features and a head.
base = MobileNetV2(input_shape=(64, 64, 3), alpha=0.05, weights=None, include_top=False)
wrapped = keras.Sequential([
    keras.Input((64, 64, 3)),
    keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)]),
    layers.Rescaling(1 / 127.5, offset=-1), base, layers.GlobalAveragePooling2D(),
    layers.Dense(16, activation="relu"), layers.Dropout(0.3), layers.Dense(3, activation="softmax")])
randomise(wrapped)
save("wrapped.keras", wrapped, wrapped.save, linear(wrapped), raw=True, hidden=[16], normalised=True)
save("wrapped.h5", wrapped, wrapped.save, linear(wrapped), raw=True, hidden=[16], normalised=True)

# Functional around functional, by the preprocessing function, for several labels.
i = keras.Input((64, 64, 3))
x = layers.GlobalAveragePooling2D()(base(preprocess_input(i), training=False))
labels = keras.Model(i, layers.Dense(4, activation="sigmoid")(x))
randomise(labels)
save("labels.keras", labels, labels.save, linear(labels), raw=True, sigmoid=True, normalised=True)

# Features alone.
features = MobileNetV2(input_shape=(64, 64, 3), alpha=0.05, weights=None, include_top=False, pooling="avg")
randomise(features)
save("features.weights.h5", features, features.save_weights, features)

# torch's padding and epsilon, and names of one's own: what a port from torchvision has.
def port(x, filters, kernel, stride, depthwise=False, activate=True):
    if kernel == 3:
        x = layers.ZeroPadding2D(1)(x)
    if depthwise:
        x = layers.DepthwiseConv2D(kernel, stride, use_bias=False)(x)
    else:
        x = layers.Conv2D(filters, kernel, stride, use_bias=False)(x)
    x = layers.BatchNormalization(epsilon=1e-5)(x)
    return layers.ReLU(6.0)(x) if activate else x


i = keras.Input((64, 64, 3))
x = port(i, 8, 3, 2)
for t, c, n, s in [(1, 8, 1, 1), (6, 8, 2, 2), (6, 8, 3, 2), (6, 16, 4, 2), (6, 16, 3, 1), (6, 16, 3, 2), (6, 24, 1, 1)]:
    for k in range(n):
        y = x if t == 1 else port(x, t * x.shape[-1], 1, 1)
        y = port(y, None, 3, s if k == 0 else 1, depthwise=True)
        y = port(y, c, 1, 1, activate=False)
        x = layers.Add()([x, y]) if y.shape == x.shape else y
x = layers.GlobalAveragePooling2D()(port(x, 64, 1, 1))
torch = keras.Model(i, layers.Dense(5)(x))
randomise(torch)
save("torch.keras", torch, torch.save, torch)

# Another network altogether.
i = keras.Input((32, 32, 3))
x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 7, 2, name="conv1_conv")(i)))
other = keras.Model(i, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))))
with tempfile.TemporaryDirectory() as d:
    other.save_weights(os.path.join(d, "w.weights.h5"))
    pack("resnet.weights.h5", open(os.path.join(d, "w.weights.h5"), "rb").read())

# The layout of save_weights in tf.keras 2.
memory = io.BytesIO()
with h5py.File(memory, "w") as f:
    f.attrs["layer_names"] = [l.name.encode() for l in plain.layers]
    f.attrs["backend"] = b"tensorflow"
    f.attrs["keras_version"] = b"2.9.0"
    for l in plain.layers:
        g = f.create_group(l.name)
        names = []
        for w in l.weights:
            kind = w.path.split("/")[-1]
            if isinstance(l, layers.DepthwiseConv2D):
                kind = "depthwise_kernel"
            names.append("%s/%s:0" % (l.name, kind))
            g[names[-1]] = w.numpy()
        g.attrs["weight_names"] = [n.encode() for n in names]
pack("keras2.h5", memory.getvalue())
want["keras2.h5"] = want["plain.h5"]

with open(os.path.join(here, "golden_keras.json"), "w") as f:
    json.dump(want, f, indent=1)
