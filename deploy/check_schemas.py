"""Holds Kubernetes' manifests against its JSON schemas, strictly: check_schemas.py FILE...

The schemas are those in the package kubernetes-validate, of its newest version of
Kubernetes. KServe's objects are not among them.
"""
import sys

import kubernetes_validate
import yaml

version = kubernetes_validate.latest_version()
for path in sys.argv[1:]:
    with open(path) as f:
        objects = [o for o in yaml.safe_load_all(f) if "kserve" not in o["apiVersion"]]
    if not objects:
        continue
    for o in objects:
        try:
            kubernetes_validate.validate(o, version, strict=True)
        except kubernetes_validate.ValidationError as e:
            raise SystemExit(f"{path}: {o['kind']}: {e}")
    print(f"{path}: {len(objects)} objects are as Kubernetes {version} wants them")
