"""Runs the functions of docs/spark.md as they stand: page.py PAGE MODEL PHOTO... prints what they say as JSON."""
import datetime, json, re, sys
import pyarrow

page, model, *photos = sys.argv[1:]
spark, ray = re.findall(r"```python\n(.*?)```", open(page, encoding="utf-8").read(), re.S)[:2]
spark, ray = spark.split("\nphotos.mapInArrow")[0], ray.split("\nray.data")[0]
assert spark.count('"/models/model.pth"') == 1


def functions(model):
    names = {}
    exec(spark.replace('"/models/model.pth"', repr(model)) + ray, names)
    return names["classify"], names["batch"], names["schema"]


def failure(rows):
    try:
        list(rows)
    except Exception as e:
        return f"{type(e).__name__}: {e}"


classify, batch, schema = functions(model)
# Columns of types that JSON doesn't have, one with the name of a result's, whole numbers with a null.
rows = [{"path": path, "shop": 9007199254740993 + i if i else None, "when": datetime.datetime(2020, 1, 2), "list": [i], "x": float("inf"), "error": "mine"}
        for i, path in enumerate(photos + ["absent"] * 1001)]
batches = pyarrow.Table.from_pylist(rows).to_batches(max_chunksize=500)
got = [row for b in classify(iter(batches)) for row in b.to_pylist()]


def broken():
    yield batches[0]
    raise ValueError("no more of them")


early = classify(iter(batches))
next(early)
early.close()
print(json.dumps({
    "rows": got,
    "batch": batch(pyarrow.Table.from_batches(batches[:1])).num_rows,
    "broken": failure(classify(broken())),
    "unwritable": failure(classify([pyarrow.RecordBatch.from_pylist([{"path": "a", "shop": 1, "offset": datetime.date(2020, 1, 2)}])])),
    "worker": failure(functions(model + ".absent")[0](iter(batches))),
}))
