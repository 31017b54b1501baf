"""Reads a JSON list of .onnx files, has onnx.checker look at each and answers with
a JSON list of {version, skipped, error}."""
import json
import sys

import onnx
import onnx.checker
import onnx.defs

answers = []
for path in json.load(sys.stdin):
    answer = {"version": onnx.__version__, "skipped": "", "error": ""}
    try:
        model = onnx.load(path)
        if any(o.domain == "" and o.version > onnx.defs.onnx_opset_version() for o in model.opset_import):
            answer["skipped"] = "newer opset"
        else:
            onnx.checker.check_model(model, full_check=True)
    except Exception as e:
        answer["error"] = f"{type(e).__name__}: {e}"
    answers.append(answer)
json.dump(answers, sys.stdout)
