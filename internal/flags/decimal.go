package flags

import (
	"cmp"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Decimal makes the whole numbers of a command, and of those below it, decimal: 010 is 10.
// pflag reads them as Go source has them: 010 is 8 there, and 0x10 is 16.
func Decimal(cmd *cobra.Command) {
	for _, fs := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		fs.VisitAll(func(f *pflag.Flag) {
			switch f.Value.Type() {
			case "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64":
				f.Value = decimal{f.Value}
			}
		})
	}
	for _, below := range cmd.Commands() {
		Decimal(below)
	}
}

// A decimal is a whole number of digits, which has zeros in front at will.
type decimal struct{ pflag.Value }

func (d decimal) Set(text string) error {
	digits, negative := strings.CutPrefix(text, "-")
	if !negative {
		digits = strings.TrimPrefix(text, "+")
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return errors.New("want a whole number in decimal digits")
	}
	number := cmp.Or(strings.TrimLeft(digits, "0"), "0")
	if negative {
		number = "-" + number
	}
	return d.Value.Set(number)
}
