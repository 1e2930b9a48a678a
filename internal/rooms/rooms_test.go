package rooms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments/registry"
)

const (
	root   = "../.."
	module = "github.com/engram-go/engram/"
)

// sources parses the project's Go files by folder, without tests.
func sources(t *testing.T) map[string][]*ast.File {
	t.Helper()
	out := map[string][]*ast.File{}
	files := token.NewFileSet()
	require.NoError(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "examples" || d.Name() != ".." && strings.HasPrefix(d.Name(), ".")):
			if file != root {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		folder = filepath.ToSlash(folder)
		out[folder] = append(out[folder], parsed)
		return err
	}))
	require.Contains(t, out, "experiments/registry")
	return out
}

// imports returns the project's folders that a folder imports.
func imports(t *testing.T, files []*ast.File) (folders []string) {
	t.Helper()
	for _, f := range files {
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			require.NoError(t, err)
			if folder, own := strings.CutPrefix(name, module); own {
				folders = append(folders, folder)
			}
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// networks are the folders of networks, which must not import one another.
var networks = strings.Fields("ntm mann rarenet memnet entnet tokennet siamese matchingnet protonet relationnet maml reptile transfer head")

// rooms lists the allowed imports of each folder; a name with /... means the folder and all below it.
var rooms = map[string]string{
	"tensor":               "tensor/...",
	"nn":                   "tensor/... nn/... stream",
	"metric":               "tensor nn",
	"encoder":              "tensor nn nn/weights encoder stream",
	"memory":               "tensor nn metric memory",
	"controller":           "tensor nn memory",
	"stream":               "",
	"tokenizer":            "",
	"dataset":              "dataset/... stream",
	"episode":              "dataset stream",
	"fewshot":              "tensor nn metric encoder memory dataset episode stream",
	"experiments/schema":   "",
	"experiments/tfevents": "",
	"experiments/measure":  "results tensor dataset episode",
	"experiments/runner":   "experiments/measure experiments/tfevents nn/... results/... stream tensor",
	"experiments/registry": "experiments/schema dataset/... encoder/... fewshot memory/... metric nn nn/weights controller tensor tokenizer " + strings.Join(networks, " "),
	"experiments/kinds":    "experiments/measure experiments/registry experiments/runner experiments/schema dataset/... episode fewshot encoder memory nn results/... stream tensor tokenizer",
	"experiments":          "experiments/kinds experiments/measure experiments/registry experiments/runner experiments/schema dataset/... episode fewshot nn/... results stream tensor",
	"experiments/sweep":    "experiments experiments/runner experiments/kinds nn results",
	"results":              "results/...",
	"cmd/engram":           "cli experiments/registry tensor/product",
}

// Folders import only those below them, the runner imports no network, and networks never import one another.
func TestRoomsImportWhatTheyMay(t *testing.T) {
	all := sources(t)
	within := func(folder, allowed string) bool {
		for _, a := range strings.Fields(allowed) {
			if below, ok := strings.CutSuffix(a, "/..."); ok && (folder == below || strings.HasPrefix(folder, below+"/")) || a == folder {
				return true
			}
		}
		return false
	}
	common := "tensor nn nn/... metric encoder memory/... controller fewshot episode stream"
	for folder, files := range all {
		allowed, ok := rooms[folder]
		if slices.Contains(networks, folder) {
			allowed, ok = common, true
		}
		for up := folder; !ok && up != "."; up = path.Dir(up) {
			allowed, ok = rooms[path.Dir(up)] // a folder below a room is part of it
		}
		if !ok {
			continue // commands and tools may import what they like
		}
		for _, i := range imports(t, files) {
			assert.True(t, within(i, allowed), "%s imports %s; allowed imports are %s", folder, i, allowed)
		}
	}
}

// ordinary are kinds whose names other code uses in another sense: as words, for a split, for a kind of test.
var ordinary = strings.Fields("none atlas delta blocks attention parity step linear mean images stories share lists csv full strings copy constant verification koch text words auto hashed features")

// Each kind is named once in the code: in its row, or in a constant that its row uses.
func TestEachKindIsNamedOnce(t *testing.T) {
	count := map[string][]string{}
	for folder, files := range sources(t) {
		// These folders name workloads, make examples, and name kernels of the C++.
		if folder == "bench" || strings.HasPrefix(folder, "internal/") || folder == "memory" {
			continue
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Field: // whose tag is documentation
					return false
				case *ast.ImportSpec:
					return false
				case *ast.BasicLit:
					if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
						count[text] = append(count[text], folder)
					}
				}
				return true
			})
		}
	}
	kinds := map[string]int{} // rows by name
	for _, family := range registry.Standard().Families() {
		for _, row := range family.Rows {
			kinds[row.Name]++
		}
	}
	for kind := range kinds {
		if !slices.Contains(ordinary, kind) {
			assert.Len(t, count[kind], 1, "%s is named in %v", kind, count[kind])
		}
	}
}

// Every part has a description, and its configuration documents keys whose names do not explain them.
func TestEveryPartIsDescribed(t *testing.T) {
	for _, family := range registry.Standard().Families() {
		assert.NotEmpty(t, family.Rows, family.Name)
		for _, row := range family.Rows {
			assert.NotEmpty(t, row.Doc, "%s %s", family.Name, row.Name)
			assert.False(t, strings.HasSuffix(row.Doc, "."), "%s %s: a phrase without a full stop", family.Name, row.Name)
			assert.NotNil(t, row.Config, "%s %s", family.Name, row.Name)
		}
	}
}
