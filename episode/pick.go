package episode

import "math/rand/v2"

// picker draws without replacement in time proportional to the number of draws.
type picker struct {
	images []int
	taken  []bool // all false between calls
}

// distinct appends k different numbers of [0, n), k <= n, in random order: Floyd's algorithm, then a shuffle, because
// the algorithm alone places larger numbers unevenly.
func (p *picker) distinct(out []int, r *rand.Rand, n, k int) []int {
	if len(p.taken) < n {
		p.taken = make([]bool, n)
	}
	for top := n - k; top < n; top++ {
		i := r.IntN(top + 1)
		if p.taken[i] {
			i = top
		}
		p.taken[i] = true
		out = append(out, i)
	}
	for _, i := range out {
		p.taken[i] = false
	}
	r.Shuffle(k, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
