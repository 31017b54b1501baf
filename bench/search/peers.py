"""Answers bench/search: a number of queries with the milliseconds that faiss and numpy take."""
import json, sys, time
import faiss, numpy

rows = numpy.load(sys.argv[1], mmap_mode="r")
queries = numpy.load(sys.argv[2])
index = faiss.IndexFlatIP(rows.shape[1])
for at in range(0, len(rows), 65536):
    index.add(numpy.ascontiguousarray(rows[at:at + 65536]))
# faiss has a copy; numpy sees that one.
matrix = faiss.rev_swig_ptr(index.get_xb(), rows.shape[0] * rows.shape[1]).reshape(rows.shape)
del rows


def with_faiss(q):
    return index.search(q, 10)


def with_numpy(q):
    scores = q @ matrix.T
    best = numpy.argpartition(scores, -10, axis=1)[:, -10:]
    return numpy.take_along_axis(scores, best, 1), best


for line in sys.stdin:
    if line.strip() == "best":
        scores, found = with_faiss(queries)
        print(json.dumps({"rows": found.tolist(), "scores": scores.tolist(),
                          "versions": f"faiss {faiss.__version__}, numpy {numpy.__version__}"}), flush=True)
        continue
    took = []
    for search in (with_faiss, with_numpy):
        start = time.perf_counter()
        search(queries[:int(line)])
        took.append(1000 * (time.perf_counter() - start))
    print(json.dumps(took), flush=True)
