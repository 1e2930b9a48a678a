// Package experiments runs experiments that are written as YAML files: it checks the file, loads the data, builds the
// network, trains, validates, tests, and leaves a run folder that tells the whole story.
//
// registry.go is the only place that knows every data set, network, memory and metric. A new network is a folder of its
// own, a case there, and a YAML file.
package experiments
