package testenv

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// NIPS17 returns the shared photos, in the order of their list, and the index of
// each one's ImageNet class.
func NIPS17(t testing.TB) (files []string, classes []int) {
	t.Helper()
	dir := Shared(t, "images/nips17")
	f, err := os.Open(filepath.Join(dir, "images.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		class, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		files, classes = append(files, filepath.Join(dir, row[0])), append(classes, class)
	}
	return files, classes
}
