// Package experiments runs experiments that are written as YAML files: it checks the file, loads the data, builds the
// network, trains, validates, tests, and leaves a run folder that tells the whole story.
//
// A file may build on another one (base) and stand for many runs (matrix): [LoadMatrix] reads any file, [LoadConfig] one that
// is a single run, and the run folder holds it resolved, with neither.
//
// registry.go is the only place that knows every data set, network, memory and metric. A new network is a folder of its
// own, a case there, and a YAML file.
package experiments
