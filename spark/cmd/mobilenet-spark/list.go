package main

import (
	"bufio"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/spark/store"
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
shards (.tar, .tar.gz, .tgz), with the places of their bytes. Nothing is held in memory,
however many there are.`,
		Example: `  mobilenet-spark list s3://bucket/photos/ > photos.jsonl
  mobilenet-spark list s3://bucket/shards/ gs://other/ /data/photos > all.jsonl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := store.New(f.store)
			defer s.Close()
			out := bufio.NewWriter(cmd.OutOrStdout())
			e := json.NewEncoder(out)
			e.SetEscapeHTML(false)
			for _, arg := range args {
				err := s.List(cmd.Context(), arg, func(name string) error {
					if isShard(name) {
						return s.ListMembers(cmd.Context(), name, func(m store.Member) error {
							if !all && !isPhoto(m.Name) {
								return nil
							}
							return e.Encode(worker.Row{Path: name, Member: m.Name, Offset: m.Offset, Size: m.Size})
						})
					}
					if !all && !isPhoto(name) {
						return nil
					}
					return e.Encode(worker.Row{Path: name})
				})
				if err != nil {
					return err
				}
			}
			return out.Flush()
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
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}
