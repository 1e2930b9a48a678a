package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/schema"
)

func newParts(tool *experiments.Tool) *cobra.Command {
	names := func(families []registry.Family) (out []string) {
		for _, f := range families {
			out = append(out, f.Name)
		}
		return out
	}
	cmd := &cobra.Command{
		Use:   "parts [FAMILY [NAME]]",
		Short: "List what an experiment file can name: memories, networks, data sets and the rest",
		Long: `Parts lists the families of parts, the parts of a family, or the keys of a part with their defaults. A family's name may be
shortened as long as no other begins so.`,
		Example: `  engram parts
  engram parts memory
  engram parts memory lrua`,
		Args: args(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			families := tool.Parts().Families()
			if len(args) == 0 {
				return printFamilies(cmd.OutOrStdout(), families)
			}
			family, err := pick(families, args[0])
			if err != nil {
				return usageError{err}
			}
			if len(args) == 1 {
				return printParts(cmd.OutOrStdout(), family)
			}
			for _, row := range family.Rows {
				if row.Name == args[1] {
					return printPart(cmd.OutOrStdout(), tool.Parts(), family, row)
				}
			}
			return usageError{fmt.Errorf("there is no %s %q; engram parts %q lists them", family.Name, args[1], family.Name)}
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			families := tool.Parts().Families()
			if len(args) == 0 {
				return names(families), cobra.ShellCompDirectiveNoFileComp
			}
			var rows []string
			if family, err := pick(families, args[0]); err == nil && len(args) == 1 {
				for _, row := range family.Rows {
					rows = append(rows, row.Name)
				}
			}
			return rows, cobra.ShellCompDirectiveNoFileComp
		},
	}
	return cmd
}

// pick returns the family of a name, or the only one that begins with it.
func pick(families []registry.Family, name string) (registry.Family, error) {
	var found []registry.Family
	var all []string
	for _, f := range families {
		if f.Name == name {
			return f, nil
		}
		if strings.HasPrefix(f.Name, name) {
			found = append(found, f)
		}
		all = append(all, f.Name)
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return registry.Family{}, fmt.Errorf("there is no family %q; there are: %s", name, strings.Join(all, ", "))
}

func printFamilies(w io.Writer, families []registry.Family) error {
	tw := newColumns(w)
	for _, f := range families {
		var names []string
		for _, row := range f.Rows {
			names = append(names, row.Name)
		}
		fmt.Fprintf(tw, "%s\t%s\n\t%s\n", f.Name, f.Doc, strings.Join(names, ", "))
	}
	return tw.Flush()
}

func printParts(w io.Writer, f registry.Family) error {
	tw := newColumns(w)
	for _, row := range f.Rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", row.Name, row.Doc, row.Paper)
	}
	return tw.Flush()
}

func printPart(w io.Writer, parts *registry.Parts, f registry.Family, row registry.Info) error {
	head := fmt.Sprintf("%s %s: %s\n", f.Name, row.Name, row.Doc)
	if row.Paper != "" {
		head += row.Paper + "\n"
	}
	_, err := io.WriteString(w, head)
	fields := schema.Describe(row.Config)
	if len(fields) == 0 {
		_, more := fmt.Fprintln(w, "it has no keys")
		return errors.Join(err, more)
	}
	tw := newColumns(w)
	fmt.Fprintln(tw, "key\tdefault\ttype\twhat it is")
	for _, field := range fields {
		what := field.Doc
		if field.Enum != nil {
			what = strings.TrimPrefix(what+"; "+strings.Join(field.Enum, ", "), "; ")
		}
		if field.Family != "" {
			what = strings.TrimPrefix(what+"; "+strings.Join(schema.KindNames(parts, field.Family), ", "), "; ")
		}
		if field.Required {
			what = strings.TrimSuffix("required; "+what, "; ")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", field.Path, field.Default, field.Type, what)
	}
	return errors.Join(err, tw.Flush())
}
