"""zero.py FILE: writes a manifest of no rows as Parquet, in which pyarrow has a row group; the file names its version."""
import sys
import pyarrow, pyarrow.parquet

schema = pyarrow.schema([("path", pyarrow.string()), ("shop", pyarrow.int64())])
pyarrow.parquet.write_table(schema.empty_table(), sys.argv[1])
