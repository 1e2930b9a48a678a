package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/cpu"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/tensor"
	"github.com/engram-go/engram/tensor/product"
)

func newDoctor() *cobra.Command {
	var asJSON bool
	var data string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine offers, what is missing and what to do about it",
		Long: `Tells which LibTorch and BLAS serve Engram, the processor, memory and CUDA devices, and which data sets are found.
For each thing missing it says what to do. Exits with 0 when all that is needed is there; slow parts and missing
data are hints.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := diagnose(data)
			for i := range r.Advice {
				r.Advice[i].Do = named(cmd, r.Advice[i].Do)
			}
			var err error
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetEscapeHTML(false)
				e.SetIndent("", "  ")
				err = e.Encode(r)
			} else {
				err = r.print(cmd.OutOrStdout())
			}
			if err == nil && !r.OK {
				err = errors.New("something that is needed is missing or does not work")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&data, "data", "", "the folder to look for data sets in, instead of the usual places")
	return cmd
}

// report is what doctor found out.
type report struct {
	OK       bool      `json:"ok"`
	Version  version   `json:"version"`
	LibTorch libTorch  `json:"libtorch"`
	BLAS     blas      `json:"blas"`
	Products blas      `json:"products"` // of float32 matrices
	CPU      processor `json:"cpu"`
	Memory   memory    `json:"memory"`
	CUDA     cuda      `json:"cuda"`
	Data     []dataSet `json:"data"`
	Advice   []advice  `json:"advice"`
}

type libTorch struct {
	Version string `json:"version"`
	File    string `json:"file,omitempty"`
	Origin  string `json:"origin,omitempty"` // where it is from, and why the build took it
	ABI     string `json:"cxx_abi"`          // of C++'s strings: "new", or "old" as wheels up to 2.6 have it
	OpenMP  string `json:"openmp,omitempty"` // the library that runs the threads
	Works   bool   `json:"works"`            // a product and its gradient came out right
}

type blas struct {
	Name string `json:"name"`
	File string `json:"file,omitempty"`
}

type processor struct {
	Model    string   `json:"model,omitempty"`
	Cores    int      `json:"cores"`   // that this process may use
	Threads  int      `json:"threads"` // that LibTorch uses
	Features []string `json:"features"`
	Lacks    []string `json:"lacks"`
}

// memory is in bytes; zero where unknown.
type memory struct {
	Total     int64 `json:"total,omitempty"`
	Available int64 `json:"available,omitempty"`
	Limit     int64 `json:"limit,omitempty"` // of the container
}

type cuda struct {
	Devices int    `json:"devices"`
	Graphs  bool   `json:"graphs"`        // the build has CUDA graphs
	Why     string `json:"why,omitempty"` // there is none
}

type dataSet struct {
	Name    string   `json:"name"`
	Usable  bool     `json:"usable"`
	BuiltIn bool     `json:"built_in,omitempty"`
	Root    string   `json:"root,omitempty"`
	Missing []string `json:"missing,omitempty"`
}

// advice is something missing or slow, and what to do.
type advice struct {
	Level string `json:"level"` // error, warning or hint
	About string `json:"about"`
	What  string `json:"what"`
	Do    string `json:"do"`
}

func (r *report) advise(level, about, what, do string) {
	r.Advice = append(r.Advice, advice{level, about, what, do})
	if level == "error" {
		r.OK = false
	}
}

// diagnose looks the machine over. data is the folder with data sets, or empty for the usual places.
func diagnose(data string) *report {
	r := &report{OK: true, Version: readVersion(), Advice: []advice{}}
	r.LibTorch = libTorch{Version: tensor.Version(), File: mapped("/proc/self/maps", "libtorch_cpu"), ABI: "new"}
	r.LibTorch.Origin = origin(r.LibTorch.File, os.Getenv)
	r.LibTorch.OpenMP = realPath(tensor.Library("omp_get_max_threads"))
	if tensor.OldABI() {
		r.LibTorch.ABI = "old"
	}
	if err := compute(); err != nil {
		r.advise("error", "LibTorch", err.Error(), "build again: make clean setup build")
	} else {
		r.LibTorch.Works = true
	}
	if v := r.LibTorch.Version; !testedLibTorch(v) {
		r.advise("hint", "LibTorch", v+" is none of the tested ones, "+strings.Join(tested(), ", "),
			"run make test once; where a test fails, use a tested one (docs/libtorch.md)")
	}
	if other := wanted(r.LibTorch.File, os.Getenv); other != "" {
		r.advise("hint", "LibTorch", other+", but this program was built with another", "make build, to use it")
	}
	if files := openMPs("/proc/self/maps"); len(files) > 1 {
		r.advise("warning", "OpenMP", "two OpenMP libraries are loaded, "+strings.Join(files, " and ")+": their threads compete for the cores",
			"make clean build")
	}

	// OpenBLAS may be loaded for LAPACK alone, so it counts only where it serves the product itself. Package product may have
	// replaced sgemm_, so another product is asked for.
	serves := realPath(cmp.Or(tensor.Library("dgemm_"), tensor.Library("cblas_sgemm")))
	r.BLAS = nameBLAS(serves, serves != "" && serves == realPath(tensor.Library("openblas_get_config")))
	r.Products = r.BLAS
	if product.Effective() {
		r.Products = blas{"oneDNN", realPath(tensor.Library("dnnl_sgemm"))}
	}
	switch r.Products.Name {
	case referenceBLAS:
		r.advise("warning", "BLAS", "the reference BLAS serves matrix products, many times slower than OpenBLAS",
			"apt-get install libopenblas0-pthread")
	case "OpenBLAS, serial":
		r.advise("warning", "BLAS", "this OpenBLAS uses one core", "apt-get install libopenblas0-pthread")
	}

	r.CPU = readCPU()
	r.Memory = readMemory("/proc/meminfo", "/sys/fs/cgroup/memory.max")
	r.CUDA = readCUDA()

	for _, s := range dataset.Survey(data) {
		d := dataSet{Name: s.Name, Usable: s.Usable(), BuiltIn: s.BuiltIn, Root: s.Root, Missing: s.Missing}
		r.Data = append(r.Data, d)
		switch {
		case !s.Usable():
			remedy := "engram data fetch " + s.Name
			if _, err := dataset.RemoteFiles(s.Name); err != nil {
				remedy = err.Error()
			}
			r.advise("hint", "data "+s.Name, "not found", remedy)
		case !s.Complete():
			r.advise("hint", "data "+s.Name, "lacks "+strings.Join(s.Missing, ", "), "engram data fetch "+s.Name)
		}
	}
	return r
}

// tested lists the versions of LibTorch that docs/libtorch.md lists.
func tested() []string { return []string{"1.13", "2.6", "2.15"} }

func testedLibTorch(version string) bool {
	return slices.ContainsFunc(tested(), func(v string) bool { return strings.HasPrefix(version, v+".") })
}

// origin tells where a loaded LibTorch is from, in the words of the order in which a build looks for one (libtorch/env.sh).
func origin(file string, env func(string) string) string {
	if file == "" {
		return ""
	}
	dir := filepath.Dir(realPath(file))
	environment := ""
	for at := filepath.Dir(dir); at != filepath.Dir(at); at = filepath.Dir(at) {
		if exists(filepath.Join(at, "pyvenv.cfg")) || exists(filepath.Join(at, "conda-meta")) {
			environment = at
			break
		}
	}
	switch named := env("LIBTORCH"); {
	case named != "" && realPath(filepath.Join(named, "lib")) == dir:
		return "first choice: LIBTORCH names it"
	case environment != "":
		return "second choice: the torch of the virtual environment " + environment
	case strings.Contains(dir, "/site-packages/") || strings.Contains(dir, "/dist-packages/"):
		return "last choice: the torch of python3, as the distribution's package was not found"
	case strings.HasPrefix(dir, "/usr/lib"):
		return "third choice: the distribution's package, as LIBTORCH and the active virtual environment named none"
	}
	return "first choice: LIBTORCH named it at the build"
}

// wanted tells which LibTorch this environment names, where that is another than the loaded one.
func wanted(file string, env func(string) string) string {
	dir := filepath.Dir(realPath(file))
	if named := env("LIBTORCH"); named != "" && exists(filepath.Join(named, "lib")) {
		if realPath(filepath.Join(named, "lib")) == dir {
			return ""
		}
		return "LIBTORCH names " + named
	}
	for _, key := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if env(key) == "" || env("LIBTORCH") == "system" {
			continue
		}
		libs, _ := filepath.Glob(filepath.Join(env(key), "lib/python*/site-packages/torch/lib/libtorch_cpu.so"))
		for _, lib := range libs {
			if filepath.Dir(realPath(lib)) != dir {
				return "the active virtual environment " + env(key) + " has torch"
			}
			return ""
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// openMPs returns the OpenMP libraries that are loaded into this process.
func openMPs(maps string) []string {
	data, err := os.ReadFile(maps)
	if err != nil {
		return nil
	}
	var files []string
	for line := range strings.Lines(string(data)) {
		i := strings.IndexByte(line, '/')
		if i < 0 {
			continue
		}
		file := strings.TrimSpace(line[i:])
		name := filepath.Base(file)
		if (strings.HasPrefix(name, "libgomp") || strings.HasPrefix(name, "libiomp5") || strings.HasPrefix(name, "libomp.")) && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files
}

// compute does with LibTorch what training does: a product and its gradient.
func compute() error {
	return tensor.Do(func() error {
		w := tensor.New([]float32{1, 2, 3, 4}, 2, 2).RequireGrad()
		x := tensor.New([]float32{1, 1}, 2, 1)
		y := w.MatMul(x).Sum()
		if got := y.Float(); got != 10 {
			return fmt.Errorf("LibTorch computes wrongly: a product came out as %g, not 10", got)
		}
		if got := tensor.Grad(y, w)[0].Sum().Float(); got != 4 {
			return fmt.Errorf("LibTorch computes wrongly: a gradient came out as %g, not 4", got)
		}
		return nil
	})
}

// mapped returns the library of that name that is loaded into this process, or "".
func mapped(maps, name string) string {
	f, err := os.Open(maps)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if i := strings.IndexByte(lines.Text(), '/'); i >= 0 {
			if file := lines.Text()[i:]; strings.HasPrefix(filepath.Base(file), name+".") {
				return file
			}
		}
	}
	return ""
}

func realPath(file string) string {
	if p, err := filepath.EvalSymlinks(file); err == nil {
		return p
	}
	return file
}

const referenceBLAS = "reference BLAS"

// nameBLAS tells a BLAS by the file that serves its calls and by whether OpenBLAS's own functions are in it. An unpacked
// LibTorch carries its BLAS inside and shows no file, or its own.
func nameBLAS(file string, open bool) blas {
	name := "unknown"
	switch dir := filepath.Base(filepath.Dir(file)); {
	case open || strings.Contains(file, "openblas"):
		name = "OpenBLAS"
		if _, flavour, ok := strings.Cut(dir, "openblas-"); ok {
			name += ", " + flavour
		}
	case file == "" || strings.HasPrefix(filepath.Base(file), "libtorch"):
		name = "part of LibTorch"
	case strings.Contains(file, "mkl"):
		name = "MKL"
	case strings.Contains(file, "blis"):
		name = "BLIS"
	case strings.Contains(file, "atlas"):
		name = "ATLAS"
	case strings.HasPrefix(filepath.Base(file), "libblas."):
		name = referenceBLAS
	}
	return blas{name, file}
}

func readCPU() processor {
	p := processor{
		Model: tensor.Processor(),
		// The lesser of the cores that this process may run on and a container's quota.
		Cores:    runtime.GOMAXPROCS(0),
		Features: []string{},
		Lacks:    []string{},
	}
	tensor.SetThreads(p.Cores)
	scope := tensor.Enter() // takes the count over to this thread
	p.Threads = tensor.Threads()
	scope.Leave()
	if runtime.GOARCH != "amd64" {
		return p
	}
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"AVX2", cpu.X86.HasAVX2},
		{"AVX-512", cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL},
		{"AVX-512 BF16", cpu.X86.HasAVX512BF16},
		{"AMX BF16", cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16},
	} {
		if f.has {
			p.Features = append(p.Features, f.name)
		} else {
			p.Lacks = append(p.Lacks, f.name)
		}
	}
	return p
}

func readMemory(meminfo, limit string) memory {
	kB := func(key string) int64 {
		n, _ := strconv.ParseInt(strings.TrimSuffix(field(meminfo, key), " kB"), 10, 64)
		return n << 10
	}
	m := memory{Total: kB("MemTotal"), Available: kB("MemAvailable")}
	if text, err := os.ReadFile(limit); err == nil { // "max" where there is none
		m.Limit, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	return m
}

func readCUDA() cuda {
	c := cuda{Devices: tensor.CUDADevices(), Graphs: tensor.GraphsBuilt()}
	if c.Devices > 0 {
		return c
	}
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*")
	switch {
	case mapped("/proc/self/maps", "libtorch_cuda") == "" && len(devices) > 0:
		c.Why = "this machine has an NVIDIA device, but this LibTorch is for the CPU only; unpack one with CUDA and set LIBTORCH"
	case mapped("/proc/self/maps", "libtorch_cuda") == "":
		c.Why = "this LibTorch is for the CPU only"
	case len(devices) == 0:
		c.Why = "no NVIDIA device on this machine"
	default:
		c.Why = "LibTorch cannot use the NVIDIA device; see whether nvidia-smi does, and whether the driver is new enough"
	}
	return c
}

// field returns the value of the first line "key : value" of a file, or "".
func field(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// print writes the report for people.
func (r *report) print(w io.Writer) error {
	t := newColumns(w)
	row := func(name string, parts ...string) {
		parts = compact(parts)
		fmt.Fprintf(t, "%s\t%s\n", name, strings.Join(parts, ", "))
	}
	row("Engram", r.Version.build(), r.Version.Go, runtime.GOOS+"/"+runtime.GOARCH)
	works := ""
	if !r.LibTorch.Works {
		works = "does not work"
	}
	row("LibTorch", r.LibTorch.Version, r.LibTorch.File, works)
	row("", r.LibTorch.Origin)
	row("", r.LibTorch.ABI+" C++ ABI", "threads by "+cmp.Or(r.LibTorch.OpenMP, "an unknown OpenMP library"))
	row("BLAS", r.BLAS.Name, r.BLAS.File)
	row("Products", r.Products.Name, "of float32 matrices", r.Products.File)
	row("Processor", r.CPU.Model, count(r.CPU.Cores, "core"), "LibTorch uses "+count(r.CPU.Threads, "thread"))
	lacks := ""
	if len(r.CPU.Lacks) > 0 {
		lacks = "without " + strings.Join(r.CPU.Lacks, ", ")
	}
	row("", strings.Join(r.CPU.Features, ", "), lacks)
	row("Memory", gib(r.Memory.Total, ""), gib(r.Memory.Available, "available"), gib(r.Memory.Limit, "at most for this container"))
	if r.CUDA.Devices > 0 {
		graphs := "; this build has no CUDA graphs (cuda_graphs), see docs/libtorch.md"
		if r.CUDA.Graphs {
			graphs = "; cuda_graphs: true captures training steps"
		}
		row("CUDA", count(r.CUDA.Devices, "device")+"; device: cuda uses it"+graphs)
	} else {
		row("CUDA", "none: "+r.CUDA.Why)
	}
	for i, d := range r.Data {
		place := cmp.Or(d.Root, "not found")
		if d.BuiltIn {
			place = "built in"
		}
		row([]string{"Data", ""}[min(i, 1)], d.Name+": "+place)
	}
	if err := t.Flush(); err != nil {
		return err
	}

	if len(r.Advice) == 0 {
		_, err := fmt.Fprintln(w, "\nAll is well.")
		return err
	}
	fmt.Fprintln(w)
	for _, a := range r.Advice {
		if _, err := fmt.Fprintf(w, "%s: %s: %s\n    -> %s\n", a.Level, a.About, a.What, a.Do); err != nil {
			return err
		}
	}
	return nil
}

func compact(parts []string) (kept []string) {
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return kept
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

func gib(bytes int64, what string) string {
	if bytes == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%.1f GiB %s", float64(bytes)/(1<<30), what))
}
