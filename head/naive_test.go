package head

import "math"

// The reference implementations below are plain loops over one task, in float64, written from the papers' equations.

// sample is one task: support vectors z of labels y, queries x.
type sample struct {
	z, x [][]float64
	y    []int
	way  int
}

func naiveSquared(a, b []float64) (d float64) {
	for i := range a {
		d += (a[i] - b[i]) * (a[i] - b[i])
	}
	return d
}

func naiveDot(a, b []float64) (d float64) {
	for i := range a {
		d += a[i] * b[i]
	}
	return d
}

func naiveCosine(a, b []float64) float64 {
	return naiveDot(a, b) / math.Sqrt(naiveDot(a, a)*naiveDot(b, b))
}

func naiveUnit(rows [][]float64) [][]float64 {
	out := make([][]float64, len(rows))
	for i, r := range rows {
		n := math.Sqrt(naiveDot(r, r))
		for _, v := range r {
			out[i] = append(out[i], v/n)
		}
	}
	return out
}

func naiveMean(rows [][]float64) []float64 {
	out := make([]float64, len(rows[0]))
	for _, r := range rows {
		for k, v := range r {
			out[k] += v / float64(len(rows))
		}
	}
	return out
}

func naiveShift(rows [][]float64, by []float64, sign float64) [][]float64 {
	out := make([][]float64, len(rows))
	for i, r := range rows {
		for k, v := range r {
			out[i] = append(out[i], v+sign*by[k])
		}
	}
	return out
}

func (s sample) means() [][]float64 {
	out := make([][]float64, s.way)
	for c := range out {
		var own [][]float64
		for i, z := range s.z {
			if s.y[i] == c {
				own = append(own, z)
			}
		}
		out[c] = naiveMean(own)
	}
	return out
}

func naiveSoftmax(scores []float64) []float64 {
	most := math.Inf(-1)
	for _, v := range scores {
		most = math.Max(most, v)
	}
	out, sum := make([]float64, len(scores)), 0.
	for i, v := range scores {
		out[i] = math.Exp(v - most)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func naiveLogSoftmax(scores []float64) []float64 {
	out := naiveSoftmax(scores)
	for i, v := range out {
		out[i] = math.Log(v)
	}
	return out
}

// classify scores each query against each class.
func (s sample) classify(score func(x []float64, c int) float64) [][]float64 {
	out := make([][]float64, len(s.x))
	for j, x := range s.x {
		for c := range s.way {
			out[j] = append(out[j], score(x, c))
		}
	}
	return out
}

func (s sample) nearest(prototypes [][]float64, scale float64) [][]float64 {
	return s.classify(func(x []float64, c int) float64 { return -scale * naiveSquared(x, prototypes[c]) })
}

func (s sample) normalized() sample {
	s.z, s.x = naiveUnit(s.z), naiveUnit(s.x)
	return s
}

// naiveSolve solves a·x = b for several right-hand sides by Gaussian elimination with pivoting.
func naiveSolve(a, b [][]float64) [][]float64 {
	n := len(a)
	m := make([][]float64, n)
	for i := range m {
		m[i] = append(append([]float64{}, a[i]...), b[i]...)
	}
	for i := range n {
		pivot := i
		for r := i; r < n; r++ {
			if math.Abs(m[r][i]) > math.Abs(m[pivot][i]) {
				pivot = r
			}
		}
		m[i], m[pivot] = m[pivot], m[i]
		for r := range n {
			if r == i {
				continue
			}
			f := m[r][i] / m[i][i]
			for k := i; k < len(m[r]); k++ {
				m[r][k] -= f * m[i][k]
			}
		}
	}
	out := make([][]float64, n)
	for i := range out {
		for k := n; k < len(m[i]); k++ {
			out[i] = append(out[i], m[i][k]/m[i][i])
		}
	}
	return out
}

// ridge solves the normal equations of the weights, (ZᵀZ + λI)W = ZᵀY.
func (s sample) ridge(c RidgeConfig) [][]float64 {
	n, width := len(s.z), len(s.z[0])
	z, target := s.z, 2.
	row := func(x []float64) []float64 { return x }
	root := 1.
	if c.Bias {
		root, target = 1/math.Sqrt(float64(n)), 1/math.Sqrt(float64(n))
		row = func(x []float64) []float64 { return append(append([]float64{}, x...), 1) }
		width++
	}
	a, b := make([][]float64, width), make([][]float64, width)
	for i := range a {
		a[i], b[i] = make([]float64, width), make([]float64, s.way)
		a[i][i] = c.Lambda
		for e := range z {
			r := row(z[e])
			for k := range width {
				a[i][k] += root * r[i] * root * r[k]
			}
			b[i][s.y[e]] += root * r[i] * target
		}
	}
	w := naiveSolve(a, b)
	return s.classify(func(x []float64, class int) float64 {
		score := 0.
		for k, v := range row(x) {
			score += v * w[k][class]
		}
		return c.Scale*score + c.Shift
	})
}

// svm solves the dual by projected gradient descent: the projection of a row onto α ≤ C·y, Σα = 0 is min(row - t, C·y) with
// the t at which the sum is zero, found by bisection.
func (s sample) svm(c SVMConfig) [][]float64 {
	n := len(s.z)
	k := make([][]float64, n)
	trace := 0.
	for i := range k {
		for j := range n {
			k[i] = append(k[i], naiveDot(s.z[i], s.z[j]))
		}
		k[i][i]++
		trace += k[i][i]
	}
	alpha := make([][]float64, n)
	for i := range alpha {
		alpha[i] = make([]float64, s.way)
	}
	for range 6000 {
		next := make([][]float64, n)
		for i := range alpha {
			row, bound := make([]float64, s.way), make([]float64, s.way)
			bound[s.y[i]] = c.C
			for m := range row {
				g := 0.
				for j := range n {
					g += k[i][j] * alpha[j][m]
				}
				if m == s.y[i] {
					g--
				}
				row[m] = alpha[i][m] - g/trace
			}
			lo, hi := -1e3, 1e3
			for range 60 {
				mid, sum := (lo+hi)/2, 0.
				for m := range row {
					sum += math.Min(row[m]-mid, bound[m])
				}
				if sum > 0 {
					lo = mid
				} else {
					hi = mid
				}
			}
			for m := range row {
				row[m] = math.Min(row[m]-lo, bound[m])
			}
			next[i] = row
		}
		alpha = next
	}
	return s.classify(func(x []float64, class int) float64 {
		score := 0.
		for i, z := range s.z {
			score += naiveDot(x, z) * alpha[i][class]
		}
		return c.Scale * score
	})
}

// logistic minimises ½‖W‖² + C·Σ CE by plain gradient descent on weights and bias.
func (s sample) logistic(c LogisticConfig) [][]float64 {
	if c.Normalize {
		s = s.normalized()
	}
	width := len(s.z[0])
	w, b := make([][]float64, s.way), make([]float64, s.way)
	curvature := 1.
	for i := range w {
		w[i] = make([]float64, width)
	}
	for _, z := range s.z {
		curvature += c.C * (1 + naiveDot(z, z)) / 2
	}
	for range 60000 {
		gw, gb := make([][]float64, s.way), make([]float64, s.way)
		for m := range gw {
			gw[m] = append([]float64{}, w[m]...)
		}
		for i, z := range s.z {
			scores := make([]float64, s.way)
			for m := range scores {
				scores[m] = naiveDot(w[m], z) + b[m]
			}
			for m, p := range naiveSoftmax(scores) {
				if m == s.y[i] {
					p--
				}
				gb[m] += c.C * p
				for k := range z {
					gw[m][k] += c.C * p * z[k]
				}
			}
		}
		for m := range w {
			b[m] -= gb[m] / curvature
			for k := range w[m] {
				w[m][k] -= gw[m][k] / curvature
			}
		}
	}
	return s.classify(func(x []float64, m int) float64 { return naiveDot(w[m], x) + b[m] })
}

// rectify returns the rectified class means and the sample with shifted queries.
func (s sample) rectify(sharpness float64) ([][]float64, sample) {
	first := s.means()
	mean, of := naiveMean(s.z), naiveMean(s.x)
	s.x = naiveShift(naiveShift(s.x, of, -1), mean, 1)
	out, sums := make([][]float64, s.way), make([]float64, s.way)
	add := func(v []float64, c int) {
		w := math.Exp(sharpness * naiveCosine(v, first[c]))
		if out[c] == nil {
			out[c] = make([]float64, len(v))
		}
		sums[c] += w
		for k := range v {
			out[c][k] += w * v[k]
		}
	}
	for i, z := range s.z {
		add(z, s.y[i])
	}
	for _, x := range s.x {
		best := 0
		for c := range first {
			if naiveCosine(x, first[c]) > naiveCosine(x, first[best]) {
				best = c
			}
		}
		add(x, best)
	}
	for c := range out {
		for k := range out[c] {
			out[c][k] /= sums[c]
		}
	}
	return out, s
}

// laplacian is algorithm 1 of Ziko et al. 2020; it returns scores.
func (s sample) laplacian(c LaplacianConfig) [][]float64 {
	if c.Normalize {
		s = s.normalized()
	}
	prototypes := s.means()
	if c.Rectify {
		prototypes, s = s.rectify(c.Sharpness)
	}
	minus := s.nearest(prototypes, 1)
	scores := minus
	for range c.Steps {
		next := make([][]float64, len(s.x))
		for i := range s.x {
			next[i] = append([]float64{}, minus[i]...)
			used := map[int]bool{i: true}
			for range c.Neighbours {
				best := -1
				for j := range s.x {
					if !used[j] && (best < 0 || naiveSquared(s.x[i], s.x[j]) < naiveSquared(s.x[i], s.x[best])) {
						best = j
					}
				}
				used[best] = true
				for class, p := range naiveSoftmax(scores[best]) {
					next[i][class] += c.Lambda * p
				}
			}
		}
		scores = next
	}
	return scores
}

func (s sample) softKMeans(steps int, scale float64) [][]float64 {
	prototypes := s.means()
	for range steps {
		sums, counts := make([][]float64, s.way), make([]float64, s.way)
		for c := range sums {
			sums[c] = make([]float64, len(s.z[0]))
		}
		add := func(v []float64, c int, w float64) {
			counts[c] += w
			for k := range v {
				sums[c][k] += w * v[k]
			}
		}
		for i, z := range s.z {
			add(z, s.y[i], 1)
		}
		for j, scores := range s.nearest(prototypes, scale) {
			for c, p := range naiveSoftmax(scores) {
				add(s.x[j], c, p)
			}
		}
		for c := range sums {
			for k := range sums[c] {
				sums[c][k] /= counts[c]
			}
		}
		prototypes = sums
	}
	return s.nearest(prototypes, scale)
}

// loss is that of TuneConfig at class weights.
func (s sample) loss(c TuneConfig, w [][]float64) (loss float64) {
	logits := func(v []float64) []float64 {
		var out []float64
		for m := range w {
			out = append(out, -c.Temperature/2*naiveSquared(v, w[m]))
		}
		return out
	}
	for i, z := range s.z {
		loss -= c.CrossEntropy * naiveLogSoftmax(logits(z))[s.y[i]] / float64(len(s.z))
	}
	mean := make([]float64, s.way)
	for _, x := range s.x {
		for m, p := range naiveSoftmax(logits(x)) {
			mean[m] += p / float64(len(s.x))
			loss -= c.Conditional * p * math.Log(p) / float64(len(s.x))
		}
	}
	for _, p := range mean {
		loss += c.Marginal * p * math.Log(p)
	}
	return loss
}

// tune is Adam on the weights by central differences of the loss.
func (s sample) tune(c TuneConfig) [][]float64 {
	if c.Normalize {
		s = s.normalized()
	}
	w := s.means()
	m, v := make([][]float64, s.way), make([][]float64, s.way)
	for i := range w {
		m[i], v[i] = make([]float64, len(w[i])), make([]float64, len(w[i]))
	}
	for step := 1; step <= c.Steps; step++ {
		g := make([][]float64, s.way)
		const by = 1e-5
		for i := range w {
			for k, old := range w[i] {
				w[i][k] = old + by
				up := s.loss(c, w)
				w[i][k] = old - by
				g[i] = append(g[i], (up-s.loss(c, w))/(2*by))
				w[i][k] = old
			}
		}
		for i := range w {
			for k := range w[i] {
				m[i][k] = .9*m[i][k] + .1*g[i][k]
				v[i][k] = .999*v[i][k] + .001*g[i][k]*g[i][k]
				w[i][k] -= c.Rate * m[i][k] / (1 - math.Pow(.9, float64(step))) / (math.Sqrt(v[i][k]/(1-math.Pow(.999, float64(step)))) + 1e-8)
			}
		}
	}
	return s.nearest(w, c.Temperature/2)
}

// alternate is TIM-ADM as the authors' code updates the weights themselves.
func (s sample) alternate(c TuneConfig) [][]float64 {
	if c.Normalize {
		s = s.normalized()
	}
	w := s.means()
	probabilities := func(rows [][]float64) [][]float64 {
		at := s
		at.x = rows
		out := at.nearest(w, c.Temperature/2)
		for i := range out {
			out[i] = naiveSoftmax(out[i])
		}
		return out
	}
	for range c.Steps {
		ps, pq := probabilities(s.z), probabilities(s.x)
		q := make([][]float64, len(s.x))
		for j := range q {
			q[j] = make([]float64, s.way)
		}
		for m := range s.way {
			sum := 0.
			for j := range pq {
				sum += math.Pow(pq[j][m], 1+c.Conditional)
			}
			for j := range pq {
				q[j][m] = math.Pow(pq[j][m], 1+c.Conditional) / math.Pow(sum, c.Marginal/(1+c.Marginal))
			}
		}
		for j := range q {
			sum := 0.
			for _, v := range q[j] {
				sum += v
			}
			for m := range q[j] {
				q[j][m] /= sum
			}
		}
		a, b := c.CrossEntropy/(1+c.Conditional), float64(len(s.z))/float64(len(s.x))
		next := make([][]float64, s.way)
		for m := range next {
			next[m] = make([]float64, len(w[m]))
			norm := 0.
			for i, z := range s.z {
				y := 0.
				if s.y[i] == m {
					y = 1
				}
				norm += a * y
				for k := range z {
					next[m][k] += a * (y*z[k] + ps[i][m]*(w[m][k]-z[k]))
				}
			}
			for j, x := range s.x {
				norm += b * q[j][m]
				for k := range x {
					next[m][k] += b * (q[j][m]*x[k] + pq[j][m]*(w[m][k]-x[k]))
				}
			}
			for k := range next[m] {
				next[m][k] /= norm
			}
		}
		w = next
	}
	return s.nearest(w, c.Temperature/2)
}
