package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// anyNumber is the largest number of arguments of a command that takes any.
const anyNumber = -1

// args refuses another number of arguments than a command takes, and names what it takes.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) >= least && (most == anyNumber || len(got) <= most) {
			return nil
		}
		_, takes, _ := strings.Cut(cmd.Use, " ")
		takes, _, _ = strings.Cut(takes, " --")
		if takes == "" {
			return fmt.Errorf("takes no argument, got %q", got[0])
		}
		if len(got) == 0 {
			return fmt.Errorf("%s is missing", takes)
		}
		return fmt.Errorf("takes %s, got %s", takes, countOf(len(got), "argument"))
	}
}
