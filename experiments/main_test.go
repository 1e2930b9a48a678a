package experiments_test

import "github.com/engram-go/engram/experiments"

// tool has Engram's own parts.
var tool = experiments.Standard()
