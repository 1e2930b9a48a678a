package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// complete makes the shell offer what an argument can be: an experiment file, a run folder.
func complete(root *cobra.Command) {
	experiment := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml"}, cobra.ShellCompDirectiveFilterFileExt
	}
	run := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	for _, c := range root.Commands() {
		_, arg, _ := strings.Cut(c.Use, " ")
		switch {
		case c.ValidArgsFunction != nil: // its own
		case strings.HasPrefix(arg, "FILE"):
			c.ValidArgsFunction = experiment
		case strings.HasPrefix(arg, "RUN"), strings.HasPrefix(arg, "[RUN"), strings.HasPrefix(arg, "[FOLDER"):
			c.ValidArgsFunction = run
		case arg == "":
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
}

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man FOLDER",
		Short: "Write the manual pages, one for each command",
		Example: `  engram man ~/.local/share/man/man1
  man engram-run`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("man: %w", err)
			}
			root := cmd.Root()
			delete(root.Annotations, cobra.CommandDisplayNameAnnotation) // pages are named after the program, wherever it is
			root.DisableAutoGenTag = true                                // the date of the day would make the same pages differ
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "engram " + readVersion().build(), Manual: "Engram"}, args[0]); err != nil {
				return fmt.Errorf("man: %w", err)
			}
			pages, err := filepath.Glob(filepath.Join(args[0], root.Name()+"*.1"))
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s in %s\n", countOf(len(pages), "page"), args[0])
			}
			return err
		},
	}
}
