package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/spark/store"
	"github.com/mobilenet-go/mobilenet/spark/store/shard"
	"github.com/mobilenet-go/mobilenet/spark/worker"
)

// photoExtensions are those of files that a manifest is made of.
var photoExtensions = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}

func newList() *cobra.Command {
	var f workerFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "list [--all] FOLDER...",
		Short: "Write a manifest of the photos in folders and buckets",
		Long: `Write a manifest, as JSON lines, of the photos in folders and buckets, and of those in
shards (.tar, .tar.gz, .tgz), with the places of their bytes, which those of packed shards
have none of. Nothing is held in memory, however many there are, but the names of a packed
shard while it is listed.

What can't be listed is said, the rest is listed, and the exit code is 1: shards that are
damaged, of which only what lies before the damage is listed, links, pipes and devices in
shards, sparse files (tar --sparse) in plain ones, a second member of one name in a packed one, names that aren't UTF-8, which JSON has to be, and a folder or a bucket in which no photo was found. How many
files are left out because their names don't end as photos' do, is said, too.`,
		Example: `  mobilenet-spark list s3://bucket/photos/ > photos.jsonl
  mobilenet-spark list s3://bucket/shards/ gs://other/ /data/photos > all.jsonl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := store.New(f.store)
			defer s.Close()
			out := bufio.NewWriter(cmd.OutOrStdout())
			e := json.NewEncoder(out)
			e.SetEscapeHTML(false)
			var broken error                   // of out, or of a server: nothing more can be listed
			missing, found, skipped := 0, 0, 0 // found is of an argument
			miss := func(reason any) {
				missing++
				fmt.Fprintln(cmd.ErrOrStderr(), "error:", reason)
			}
			write := func(row worker.Row) error {
				name := cmp.Or(row.Member, row.Path)
				if !all && !isPhoto(name) {
					skipped++
					return nil
				}
				found++
				if !utf8.ValidString(name) {
					miss(fault.Shown(name) + " is left out: its name isn't UTF-8")
					return nil
				}
				broken = e.Encode(row)
				return broken
			}
			// failed returns err if it ends the list, and else says it.
			failed := func(err error) error {
				if broken = cmp.Or(broken, cmd.Context().Err()); broken == nil && store.Fatal(cmd.Context(), err) {
					broken = err
				}
				if broken == nil && err != nil {
					miss(err)
				}
				return broken
			}
			for _, arg := range args {
				found = 0
				before := missing
				err := s.List(cmd.Context(), arg, func(name string) error {
					switch {
					case !isShard(name):
						return write(worker.Row{Path: name})
					case !utf8.ValidString(name):
						miss(fault.Shown(name) + " is left out: its name isn't UTF-8")
						return nil
					}
					return failed(s.ListMembers(cmd.Context(), name, func(m store.Member) error {
						if m.Left != nil && (all || isPhoto(m.Name)) {
							miss(fault.Shown(name) + ": " + fault.Shown(m.Name) + " is left out: " + m.Left.Error())
						}
						if m.Again && (all || isPhoto(m.Name)) {
							miss(fault.Shown(name) + ": another " + fault.Shown(m.Name) + " is left out: rows without places name the first")
						}
						if m.Left != nil || m.Again {
							return nil
						}
						return write(worker.Row{Path: name, Member: m.Name, Offset: m.Offset, Size: m.Size})
					}))
				})
				if failed(err) != nil {
					break
				}
				if found == 0 && missing == before {
					miss(fault.Shown(arg) + ": no photos were found")
				}
			}
			if err := cmp.Or(broken, out.Flush()); err != nil {
				return err
			}
			if skipped > 0 {
				left := "1 file is left out"
				if skipped > 1 {
					left = fmt.Sprint(skipped, " files are left out")
				}
				fmt.Fprintln(cmd.ErrOrStderr(), left+": of names without .jpg, .png or another ending of photos; --all lists all files")
			}
			if missing > 0 {
				return fmt.Errorf("%d of what was to be listed couldn't be, see above", missing)
			}
			return nil
		},
	}
	fs := cmd.Flags()
	f.registerStores(fs)
	fs.BoolVar(&all, "all", false, "list all files, whatever they are called")
	return cmd
}

func isPhoto(name string) bool {
	return slices.Contains(photoExtensions, strings.ToLower(path.Ext(name)))
}

func isShard(name string) bool {
	archive, _ := shard.IsNamed(name)
	return archive
}
