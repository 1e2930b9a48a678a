package schema

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// nearest returns the candidate that word was probably meant to be, or "": the one at the smallest
// Damerau-Levenshtein distance (adjacent swaps count one), ignoring case and separators, up to a third of the length;
// or else the only candidate that starts with word.
func nearest(word string, candidates []string) string {
	if len(word) > 100 {
		return ""
	}
	folded := fold(word)
	best, bestDistance := "", 0
	for _, c := range candidates {
		f := fold(c)
		limit := min((max(len(folded), len(f))+1)/3, 3)
		if c == "" || len(f)-len(folded) > limit || len(folded)-len(f) > limit {
			continue
		}
		if d := distance(folded, f); d <= limit && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	if best != "" || len(folded) < 3 {
		return best
	}
	for _, c := range candidates {
		if strings.HasPrefix(fold(c), folded) {
			if best != "" {
				return ""
			}
			best = c
		}
	}
	return best
}

// fold maps batchNorm, batch-norm and batch_norm to the same text.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance returns the Damerau-Levenshtein distance in its restricted form (no letter is edited twice), over runes.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before := make([]int, len(y)+1)
	last := make([]int, len(y)+1)
	row := make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

// unknown returns the message for an invalid name.
func unknown(what, got string, valid []string) string {
	text := "unknown " + what + " " + quote(got)
	if near := nearest(got, valid); near != "" {
		return text + "; did you mean " + strconv.Quote(near) + "? " + validList(what+"s", valid)
	}
	return text + "; " + validList(what+"s", valid)
}

func validList(what string, valid []string) string {
	if len(valid) == 0 {
		return "there are no valid " + what
	}
	shown := make([]string, len(valid))
	for i, v := range valid {
		shown[i] = v
		if v == "" {
			shown[i] = `""`
		}
	}
	return "valid " + what + ": " + strings.Join(shown, ", ")
}

// clip shortens s to at most n runes.
func clip(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	i := 0
	for pos := range s {
		if i == n-1 {
			return s[:pos] + "…"
		}
		i++
	}
	return s
}

func quote(s string) string { return strconv.Quote(clip(s, 60)) }
