package cli

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// productName is how packages below the command line name the program in their messages.
const productName = "engram"

// goRun is in the path of a program that go run has made.
const goRun = "/go-build"

// programName is the program as it was called, for commands that a user copies: "engram" from PATH, "bin/engram" from a
// checkout. What go run has made goes by its base name.
func programName(argv0 string) string {
	if strings.Contains(argv0, goRun) || !strings.ContainsRune(argv0, filepath.Separator) || strings.ContainsAny(argv0, " \t") {
		return filepath.Base(argv0)
	}
	return argv0
}

// setName makes help and usage of a command line name the program as it was called.
func setName(root *cobra.Command, name string) {
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: name}
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		var text strings.Builder
		out := cmd.OutOrStdout()
		cmd.SetOut(&text)
		help(cmd, args)
		cmd.SetOut(out)
		fmt.Fprint(out, named(cmd, text.String()))
	})
}

// named replaces "engram" by the name that the program was called under wherever a text names one of its commands.
func named(cmd *cobra.Command, text string) string {
	root := cmd.Root()
	name := root.DisplayName()
	if name == productName || !strings.Contains(text, productName+" ") {
		return text
	}
	words := []string{"help", "completion"}
	for _, c := range root.Commands() {
		words = append(words, c.Name())
	}
	commands := regexp.MustCompile(`(^|[^\w/.-])` + productName + ` (` + strings.Join(words, "|") + `)\b`)
	return commands.ReplaceAllString(text, "${1}"+strings.ReplaceAll(name, "$", "$$")+" ${2}")
}
