"""Holds Kubernetes' manifests against the models of its and of KServe's Python clients,
which are made from their OpenAPI: check_manifests.py FILE...

Every field must be one of the model's, of its type; fields that the model requires must
be there.
"""
import re
import sys

import kserve
import kubernetes.client
import yaml

SIMPLE = {"str": str, "bool": bool, "int": int, "float": (int, float)}


def model(name):
    found = getattr(kserve, name, None) or getattr(kubernetes.client, name, None)
    if found is None:
        raise SystemExit(f"no model {name}")
    return found


def check(value, kind, where):
    if kind == "object":  # a quantity, or a number or a name
        return
    if m := re.fullmatch(r"[Ll]ist\[(.*)\]", kind):
        if not isinstance(value, list):
            raise SystemExit(f"{where}: want a list")
        for i, v in enumerate(value):
            check(v, m[1], f"{where}[{i}]")
        return
    if m := re.fullmatch(r"[Dd]ict[([]str, (.*)[])]", kind):
        if not isinstance(value, dict):
            raise SystemExit(f"{where}: want a map")
        for k, v in value.items():
            check(v, m[1], f"{where}.{k}")
        return
    if kind in SIMPLE:
        if not isinstance(value, SIMPLE[kind]) or isinstance(value, bool) != (kind == "bool"):
            raise SystemExit(f"{where}: {value!r}: want {kind}")
        return
    cls = model(kind)
    if not isinstance(value, dict):
        raise SystemExit(f"{where}: want fields of {kind}")
    fields = {name: attribute for attribute, name in cls.attribute_map.items()}
    for name, v in value.items():
        if name not in fields:
            raise SystemExit(f"{where}.{name}: {kind} has no such field")
        check(v, cls.openapi_types[fields[name]], f"{where}.{name}")
    try:  # what is required
        cls(**{fields[name]: v for name, v in value.items()})
    except ValueError as e:
        raise SystemExit(f"{where}: {e}")


for path in sys.argv[1:]:
    with open(path) as f:
        objects = list(yaml.safe_load_all(f))
    for o in objects:
        group, _, version = o["apiVersion"].rpartition("/")
        check(o, version[0].upper() + version[1:] + o["kind"], o["kind"])
    print(path + ": " + ", ".join(o["kind"] for o in objects))
