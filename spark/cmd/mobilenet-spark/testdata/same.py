"""same.py A B: whether two folders of Parquet have the same schema and rows, by pyarrow; exits with
1 and says what differs. Prints the schema."""
import sys
import pyarrow, pyarrow.dataset

tables = [pyarrow.dataset.dataset(d, format="parquet").to_table() for d in sys.argv[1:]]
schemas = [t.schema.remove_metadata() for t in tables]
print("pyarrow", pyarrow.__version__)
print(schemas[0])
if schemas[0] != schemas[1]:
    sys.exit(f"another schema:\n{schemas[1]}")
# By their text: NaN is no NaN's equal.
rows = [sorted(map(repr, t.to_pylist())) for t in tables]
for a, b in zip(*rows):
    if a != b:
        sys.exit(f"{a}\nand\n{b}")
if len(rows[0]) != len(rows[1]):
    sys.exit(f"{len(rows[0])} rows and {len(rows[1])}")
print(len(rows[0]), "rows")
