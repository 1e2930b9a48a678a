package cli

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/engram-go/engram/dataset"
)

func newData() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Find and fetch data sets",
	}
	cmd.AddCommand(newDataFetch())
	return cmd
}

func newDataFetch() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "fetch NAME",
		Short: "Download a data set from its author's repository",
		Long: `Fetch downloads a data set, checks it, and puts it where experiments find it. An interrupted download goes on where it
stopped; nothing half-written is left under a final name.`,
		Example: "  engram data fetch omniglot",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				var err error
				if dir, err = dataset.FetchDir(args[0]); err != nil {
					return err
				}
			}
			var bar *progressbar.ProgressBar
			current := ""
			err := dataset.Fetch(cmd.Context(), args[0], dir, func(done, total int64, file string) {
				if file != current {
					current = file
					bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(cmd.ErrOrStderr()), progressbar.OptionSetDescription(file),
						progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond),
						progressbar.OptionOnCompletion(func() { fmt.Fprintln(cmd.ErrOrStderr()) }))
				}
				_ = bar.Set64(done)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is in %s\n", args[0], dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "out", "", "folder to put it in (default the user's cache)")
	return cmd
}
