package job

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
)

// schema is that of the results: the manifest's columns behind the photo's name. Those of
// photos that failed have an error and neither predictions nor an embedding.
func (s *Spec) schema() string {
	text := "path STRING, member STRING"
	for _, c := range s.Columns {
		text += ", " + name(c.Name) + " " + c.Type
	}
	return text + ", predictions ARRAY<STRUCT<index: INT, label: STRING, probability: FLOAT>>, " +
		"embedding ARRAY<FLOAT>, explanation STRUCT<width: INT, height: INT, seen: ARRAY<DOUBLE>, input: ARRAY<INT>, method: STRING, layer: STRING, " +
		"map_height: INT, map_width: INT, classes: ARRAY<STRUCT<index: INT, label: STRING, probability: FLOAT, logit: FLOAT, bias: FLOAT, map: ARRAY<FLOAT>>>>, " +
		"error STRING, model STRING, version STRING"
}

// name is the name of a column.
func name(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// literal is a string of Spark's SQL.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\0`).Replace(s) + "'"
}

// word is a word of a command of the shell.
func word(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// settings are what the statements below count on.
//
// With version 1 of the committer what a task wrote appears when the job ends, and only
// that of one of its tries. The committer takes what it finds in _temporary/ATTEMPT for the
// job's own. It is 0 everywhere, so that it would take what the tasks of a driver that was
// killed have left: each run has another number. _SUCCESS is written at the very end, not by each chunk.
func (s *Spec) settings() []string {
	return []string{
		"SET spark.sql.variable.substitute=false", // names with ${...} are names
		"SET mapreduce.fileoutputcommitter.algorithm.version=1",
		fmt.Sprintf("SET mapreduce.job.application.attempt.id=%d", 1+rand.Int32N(math.MaxInt32)),
		"SET mapreduce.fileoutputcommitter.marksuccessfuljobs=false",
		// A worker has little to do once its output is read.
		"SET spark.sql.scriptTransformation.exitTimeoutInSeconds=60",
		// Compiling Java takes longer than what is left to Spark: moving names.
		"SET spark.sql.codegen.wholeStage=false",
	}
}

// files are what travels to the nodes.
func (s *Spec) files() []string {
	var add []string
	for _, f := range s.Files {
		add = append(add, "ADD FILE "+literal(f))
	}
	return add
}

// input is the manifest as it is. It may lack every column but the path.
func (s *Spec) input() string {
	const view = "CREATE OR REPLACE TEMPORARY VIEW mobilenet_input "
	switch kind := kindOf(s.Input); kind {
	case "json":
		columns := "path STRING, member STRING, offset STRING, size STRING"
		if !s.has("file") {
			columns += ", file STRING"
		}
		for _, c := range s.Columns {
			columns += ", " + name(c.Name) + " " + c.Type
		}
		return view + "(" + columns + ") USING json" + s.options(true)
	case "csv", "parquet":
		return view + "USING " + kind + s.options(true)
	}
	return view + "AS SELECT * FROM " + s.Input
}

// filesOf is a view of the manifest's files, of which nothing is read: all of them, or those
// that Spark reads of a folder.
func (s *Spec) filesOf(view string, all bool) string {
	return fmt.Sprintf("CREATE OR REPLACE TEMPORARY VIEW %s USING binaryFile OPTIONS (path %s, recursiveFileLookup '%t')", view, literal(s.Input), all)
}

const countFiles = "SELECT to_json(named_struct('all', (SELECT count(*) FROM mobilenet_all), 'read', (SELECT count(*) FROM mobilenet_read)))"

// firstPaths are those of some rows of the manifest.
const firstPaths = `SELECT coalesce(nullif(r.path, ''), r.file) FROM (
  SELECT from_json(to_json(struct(*)), 'path STRING, file STRING') AS r FROM (SELECT * FROM mobilenet_input LIMIT 10)
) WHERE coalesce(nullif(r.path, ''), nullif(r.file, '')) IS NOT NULL`

// inferred is the manifest with the columns and types that Spark finds in it.
func (s *Spec) inferred() string {
	return "CREATE OR REPLACE TEMPORARY VIEW mobilenet_input USING " + kindOf(s.Input) + s.options(true)
}

// headless is a manifest of CSV whose first row are the names of its columns.
func (s *Spec) headless() string {
	return "CREATE OR REPLACE TEMPORARY VIEW mobilenet_input USING csv" + s.options(false)
}

// options are those of a manifest in files, of CSV with a head or without.
func (s *Spec) options(head bool) string {
	options := " OPTIONS (path " + literal(s.Input)
	switch kindOf(s.Input) {
	case "json":
		options += ", mode 'FAILFAST'"
	case "csv":
		options += fmt.Sprintf(`, header '%t', multiLine 'true', escape '"', mode 'FAILFAST'`, head)
	}
	return options + ")"
}

func (s *Spec) has(column string) bool {
	return slices.ContainsFunc(s.Columns, func(c Column) bool { return c.Name == column })
}

// IsTable reports whether an input is a table of Spark's and no file.
func IsTable(input string) bool { return kindOf(input) == "table" }

// kindOf tells a manifest's files by their name; what is none of these is a table.
func kindOf(input string) string {
	name := strings.ToLower(strings.TrimRight(input, "/*"))
	for _, packed := range []string{".gz", ".zst", ".bz2"} {
		name = strings.TrimSuffix(name, packed)
	}
	switch path.Ext(name) {
	case ".json", ".jsonl", ".ndjson":
		return "json"
	case ".csv":
		return "csv"
	case ".parquet":
		return "parquet"
	}
	if strings.ContainsAny(input, "/:") { // a folder of parts, as Spark writes it
		return "parquet"
	}
	return "table"
}

// manifest is every photo of the input once: of several rows for a photo the first in the
// order of their places and columns. Columns that the input lacks are found missing through
// JSON, which SQL can't do otherwise. Those that are passed on are called x0, x1 and so on,
// which no other is. Rows without a path are a photo together, of which the worker says that
// it has none. Places are texts here: of one that is no number the worker says so, too. What
// has a place and no name is called OFFSET+SIZE, as by the worker.
func (s *Spec) manifest() string {
	var values, names, fields, places string
	for i, c := range s.Columns {
		value := name(c.Name)
		switch {
		case c.Name == "file": // beside path: where that is missing it names the photo
			value = "if(nullif(CAST(path AS STRING), '') IS NULL, NULL, file)"
		case kindOf(s.Input) == "csv":
			value = "nullif(" + value + ", '')" // and not two kinds of nothing, by its quotes
		}
		values += fmt.Sprintf(",\n      %s AS x%d", value, i)
		names += fmt.Sprintf(", x%d", i)
		fields += fmt.Sprintf(", 'x%d', x%d", i, i)
		places += fmt.Sprintf(", place.x%d", i)
	}
	return fmt.Sprintf(`CREATE OR REPLACE TEMPORARY VIEW mobilenet_manifest AS
SELECT path, member, place.at, place.offset, place.size%s FROM (
  SELECT path, member, min(named_struct('at', at, 'offset', offset, 'size', size%s)) AS place FROM (
    SELECT *, coalesce(called, if(at > 0 AND n >= 0, concat(at, '+', n), NULL)) AS member FROM (
      SELECT coalesce(nullif(r.path, ''), nullif(r.file, ''), '') AS path, nullif(r.member, '') AS called, r.offset, r.size,
        if(r.offset RLIKE '^[0-9]+$', try_cast(r.offset AS BIGINT), NULL) AS at,
        if(coalesce(r.size, '') = '', 0, if(r.size RLIKE '^[0-9]+$', try_cast(r.size AS BIGINT), NULL)) AS n%s
      FROM (SELECT from_json(to_json(struct(*)), 'path STRING, file STRING, member STRING, offset STRING, size STRING') AS r%s
        FROM mobilenet_input)))
  GROUP BY path, member)`, places, fields, names, values)
}

// record notes who writes the output, in a folder that its readers pass over, and so
// makes the output exist.
func (s *Spec) record(session string) string {
	return fmt.Sprintf("INSERT OVERWRITE DIRECTORY %s USING json SELECT %s AS session, %s AS settings",
		literal(s.recordPath()), literal(session), literal(s.About()))
}

func (s *Spec) recordPath() string { return strings.TrimRight(s.Output, "/") + "/" + RecordName }

// RecordName is the folder of the record in an output of Spark's.
const RecordName = "_mobilenet"

// lastRecord asks for the record of the run before this one.
func (s *Spec) lastRecord() string {
	return fmt.Sprintf("SELECT to_json(struct(*)) FROM json.`%s`", strings.ReplaceAll(s.recordPath(), "`", "``"))
}

// results is what is there of the output.
func (s *Spec) results() string {
	return fmt.Sprintf("CREATE OR REPLACE TEMPORARY VIEW mobilenet_results (%s) USING parquet OPTIONS (path %s)", s.schema(), literal(s.Output))
}

// remaining are the photos without a result.
func (s *Spec) remaining() string {
	view := "CREATE OR REPLACE TEMPORARY VIEW mobilenet_remaining AS SELECT m.* FROM mobilenet_manifest m"
	if s.Resume {
		view += " LEFT ANTI JOIN mobilenet_results r ON m.path = r.path AND m.member <=> r.member"
	}
	return view
}

const countRemaining = "SELECT CAST(count(*) AS STRING) FROM mobilenet_remaining"

// countCores asks how many cores there are: Spark makes as many partitions of a range.
const countCores = "SELECT CAST(count(DISTINCT p) AS STRING) FROM (SELECT spark_partition_id() AS p FROM range(1000000))"

// chunk computes a share of the photos, in so many tasks. The members of a shard are of
// one share, and neighbours in a task, in the order of their bytes. Rows are JSON, in which
// no name has a tab or a newline, and delimiters are said: the default ones change what
// they are found in.
func (s *Spec) chunk(i, chunks, tasks int) string {
	const format = `ROW FORMAT DELIMITED FIELDS TERMINATED BY '\u0001' LINES TERMINATED BY '\n' NULL DEFINED AS '\u0002'`
	fields, share := "", ""
	for i, c := range s.Columns {
		fields += fmt.Sprintf(", %s, x%d", literal(c.Name), i)
	}
	if chunks > 1 {
		share = fmt.Sprintf("\n        WHERE pmod(xxhash64(path), %d) = %d", chunks, i)
	}
	return fmt.Sprintf(`INSERT INTO mobilenet_results
SELECT r.* FROM (
  SELECT from_json(line, %s, map('mode', 'FAILFAST')) AS r FROM (
    SELECT TRANSFORM (to_json(named_struct('path', path, 'member', member, 'offset', offset, 'size', size%s)))
      %s
      USING %s AS (line STRING)
      %s
    FROM (
      SELECT * FROM (
        SELECT /*+ REPARTITION_BY_RANGE(%d, path, at, member) */ * FROM mobilenet_remaining%s)
      SORT BY path, at, member)))`,
		literal(s.schema()), fields, format, literal(s.command()), format, tasks, share)
}

// command runs the worker on a node. Where ADD FILE put it depends on how the job came to
// Spark: into the folder in which commands run, or into one of the session's own in it.
func (s *Spec) command() string {
	program := word(s.Worker)
	if !s.Installed {
		name := word(path.Base(s.Worker))
		program = fmt.Sprintf(`"$(ls -t ./%s ./*/%s 2>/dev/null | head -n 1)"`, name, name)
	}
	command := "exec " + program + " worker"
	for _, arg := range s.Args {
		command += " " + word(arg)
	}
	return command
}

// countErrors asks for the rows that are written, for those of them with errors, and for
// those that are of no worker of this job.
func (s *Spec) countErrors() string {
	return fmt.Sprintf("SELECT to_json(named_struct('rows', count(*), 'failed', count(error), 'alien', count_if(NOT (model <=> %s AND version <=> %s)))) FROM mobilenet_results",
		literal(s.Digest), literal(s.Version))
}

// check holds the output against the manifest.
const check = `SELECT to_json(named_struct('photos', count(m.path), 'rows', coalesce(sum(r.n), 0), 'failed', coalesce(sum(r.failed), 0),
  'missing', count_if(r.path IS NULL), 'twice', count_if(r.n > 1), 'others', count_if(m.path IS NULL)))
FROM mobilenet_manifest m FULL OUTER JOIN (
  SELECT path, member, count(*) AS n, count(error) AS failed FROM mobilenet_results GROUP BY path, member
) r ON m.path = r.path AND m.member <=> r.member`

// causes counts errors by their text, as [CauseOf] has it.
var causes = `SELECT to_json(named_struct('photos', count(*), 'cause', cause)) FROM (
  SELECT replace(regexp_replace(regexp_replace(error, ` + literal(limitsPattern) + `, '$1` + mark + `$2'), ` + literal(numbersPattern) + `, 'N'), ' ` + mark + `', ' ') AS cause FROM mobilenet_results WHERE error IS NOT NULL
) GROUP BY cause ORDER BY count(*) DESC, cause LIMIT 10`

// success writes _SUCCESS, beside what is there.
var success = []string{
	"SET mapreduce.fileoutputcommitter.marksuccessfuljobs=true",
	"INSERT INTO mobilenet_results SELECT * FROM mobilenet_results WHERE false",
	"SET mapreduce.fileoutputcommitter.marksuccessfuljobs=false",
}
