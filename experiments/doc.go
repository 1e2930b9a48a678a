// Package experiments is the face of Engram for programs: it reads experiment files, and runs, resumes and evaluates what they
// say. A [Tool] does so with a set of parts, Engram's own ([Standard]) or those and a program's own ([New]).
//
// A file may build on another one (base) and stand for many runs (matrix): [Tool.Matrix] reads any file, [Tool.Load] one that is
// a single run, and the run folder holds it resolved, with neither. What an experiment file says becomes a run in this order:
//
//	file → schema: read strictly, with the tables of package registry telling the kinds and their keys
//	     → kinds: planned, and checked as a whole
//	     → runner: data loaded, network built, tests made; trained, tested and recorded
//	     → results: tables and reports, generated from result.json
//
// The packages below experiments each know one thing: schema how files are read, registry every part, kinds what is trained and
// measured, measure how, runner the training loop and the run folder, sweep many runs.
package experiments
