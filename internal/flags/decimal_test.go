package flags

import (
	"testing"

	"github.com/spf13/cobra"
)

func TestDecimal(t *testing.T) {
	root, below := &cobra.Command{}, &cobra.Command{}
	root.AddCommand(below)
	n := root.PersistentFlags().Int("n", 7, "")
	seed := below.Flags().Uint64("seed", 7, "")
	name := below.Flags().String("name", "", "")
	Decimal(root)
	for text, want := range map[string]int{"010": 10, "0": 0, "000": 0, "08": 8, "+5": 5, "-012": -12, "-0": 0} {
		if err := root.PersistentFlags().Set("n", text); err != nil || *n != want {
			t.Errorf("%s: %d, want %d; %v", text, *n, want, err)
		}
	}
	for _, text := range []string{"", "-", "+", "0x10", "0b1", "0o7", "1_000", "1e3", "+-5", "--5", " 5", "1.0", "99999999999999999999"} {
		if err := root.PersistentFlags().Set("n", text); err == nil {
			t.Errorf("%q: %d, want an error", text, *n)
		}
	}
	if err := below.Flags().Set("seed", "0018446744073709551615"); err != nil || *seed != 1<<64-1 {
		t.Errorf("%d, %v", *seed, err)
	}
	if err := below.Flags().Set("seed", "-1"); err == nil {
		t.Error("a negative seed")
	}
	if err := below.Flags().Set("name", "010"); err != nil || *name != "010" {
		t.Errorf("%s, %v", *name, err)
	}
	if v, err := root.PersistentFlags().GetInt("n"); err != nil || v != *n { // as pflag has it
		t.Errorf("%d, %v", v, err)
	}
}
