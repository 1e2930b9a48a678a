// Package experiments is Engram's API for programs: it reads experiment files, and runs, resumes and evaluates them.
// A [Tool] does so with a set of parts: Engram's ([Standard]), or those and a program's own ([New]).
//
// A file may have a base and a matrix of runs: [Tool.Matrix] reads any file, [Tool.Load] one with a single run, and
// the run folder contains the resolved file without either. An experiment file becomes a run in this order:
//
//	file → schema: read strictly, with the kinds and keys of package registry
//	     → kinds: planned, and checked as a whole
//	     → runner: data loaded, network built, tests made; trained, tested and recorded
//	     → results: tables and reports, generated from result.json
//
// The packages below experiments have one concern each: schema reads files, registry lists the parts, kinds defines
// what is trained and tested, measure evaluates, runner has the training loop and the run folder, sweep executes many
// runs.
package experiments
