"""Writes small HDF5 files of every form that the reader knows, with h5py.

    python3 internal/hdf5/testdata/golden.py

Needs h5py; the files here are by the versions that versions.json names. Value i of a
dataset is i*0.5 - 3, or i for integers.
"""
import json
import os

import h5py
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))


def values(shape, dtype="f4"):
    v = np.arange(int(np.prod(shape)))
    return (v.reshape(shape) if np.issubdtype(dtype, np.integer) else (v * 0.5 - 3).reshape(shape)).astype(dtype)


def write(name, libver):
    with h5py.File(os.path.join(here, name), "w", libver=libver) as f:
        f.attrs["model_config"] = "{\"a\": \"é\"}"  # of varying length
        f.attrs["fixed"] = np.bytes_("fixed text")
        f.attrs["names"] = np.array([b"one", b"two", b"three"])
        f.attrs.create("varying", ["x", "", "yz"], dtype=h5py.string_dtype())
        f.attrs["number"] = 3.5
        f.attrs["empty"] = h5py.Empty("S1")
        for i in range(12):  # more than a header keeps
            f["group"] = f.require_group("many") if i == 0 else f["many"]
            del f["group"]
            f["many"].attrs["attribute %d" % i] = "value %d" % i
        for i in range(60):  # of more than one node
            g = f.create_group("many/%02d" % i)
            if i % 20 == 0:
                g.create_dataset("vars/0", data=values((2, 3)))
        for dtype in ["f2", "f4", "f8", "i1", "u1", "i2", "i4", "i8", "u8"]:
            f.create_dataset("types/" + dtype, data=values((3, 2), dtype))
        f.create_dataset("types/big", data=values((2,), ">f4"))
        f.create_dataset("scalar", data=np.float32(1.5))
        f.create_dataset("no values", data=values((0, 3)))
        f.create_dataset("never written", (2, 2), "f4")
        c = f.create_group("chunks")
        shape = (5, 7, 3)
        c.create_dataset("plain", data=values(shape), chunks=(2, 3, 3))
        c.create_dataset("gzip", data=values(shape), chunks=(2, 3, 3), compression="gzip")
        c.create_dataset("shuffle", data=values(shape), chunks=(2, 3, 3), compression="gzip", shuffle=True, fletcher32=True)
        c.create_dataset("one", data=values(shape), chunks=shape, compression="gzip", shuffle=True)
        c.create_dataset("one plain", data=values(shape), chunks=shape)
        c.create_dataset("growing", data=values(shape), chunks=(2, 3, 3), maxshape=(None, 7, 3))
        c.create_dataset("many", data=values((40, 40)), chunks=(4, 4))
        c.create_dataset("lzf", data=values(shape), chunks=(2, 3, 3), compression="lzf")
        c.create_dataset("in part", (6, 6), "f4", chunks=(2, 2))
        c["in part"][0:2, 0:2] = 1
        p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        p.set_layout(h5py.h5d.COMPACT)
        d = h5py.h5d.create(f.id, b"compact", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2, 3)), p)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, values((2, 3)))
        f["soft"] = h5py.SoftLink("/scalar")
        f["again"] = f["scalar"]


write("earliest.h5", ("earliest", "v108"))
write("v108.h5", ("v108", "v108"))
write("v110.h5", ("v110", "v110"))
with open(os.path.join(here, "versions.json"), "w") as f:
    json.dump({"h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version, "numpy": np.__version__}, f, indent=1)

# Seeds for fuzzing: as small as they come.
for name, libver in [("tiny1.h5", ("earliest", "v108")), ("tiny2.h5", ("v110", "v110"))]:
    with h5py.File(os.path.join(here, name), "w", libver=libver) as f:
        f.attrs["a"] = "text"
        f.create_dataset("layers/dense/vars/0", data=values((2, 3)))
        f.create_dataset("c", data=values((3, 3)), chunks=(2, 2), compression="gzip", shuffle=True)
        for i in range(10 if libver[0] == "v110" else 0):
            f.create_group("g/%d" % i)
