//go:build ignore

// Draws the letters in its folder with random variation: go run examples/letters/draw.go examples/letters
package main

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
)

type point struct{ x, y float64 }

// letters are strokes in a square of side 1, from the top left corner.
var letters = map[string][][]point{
	"A": {{{.2, .9}, {.5, .1}, {.8, .9}}, {{.32, .6}, {.68, .6}}},
	"E": {{{.78, .1}, {.25, .1}, {.25, .9}, {.8, .9}}, {{.25, .5}, {.65, .5}}},
	"K": {{{.25, .1}, {.25, .9}}, {{.75, .1}, {.25, .55}, {.8, .9}}},
	"O": {{{.5, .1}, {.75, .2}, {.87, .5}, {.75, .8}, {.5, .9}, {.25, .8}, {.13, .5}, {.25, .2}, {.5, .1}}},
	"T": {{{.12, .12}, {.88, .12}}, {{.5, .12}, {.5, .9}}},
}

func main() {
	for i, name := range []string{"A", "E", "K", "O", "T"} {
		r := rand.New(rand.NewPCG(7, uint64(i)))
		for n := range 5 {
			width, height := 90+r.IntN(60), 90+r.IntN(60)
			path := filepath.Join(os.Args[1], "support", name, fmt.Sprintf("%d.png", n+1))
			if n >= 2 { // the last three are queries, one of them noisy like a photograph
				path = filepath.Join(os.Args[1], "query", fmt.Sprintf("%s%d.png", name, n-1))
			}
			if n == 4 {
				width, height, path = 3*width, 2*height, path[:len(path)-len("png")]+"jpg"
			}
			if err := write(path, draw(r, letters[name], width, height)); err != nil {
				log.Fatal(err)
			}
		}
	}
}

// draw draws strokes with random slant, stretch, noise and pen width.
func draw(r *rand.Rand, strokes [][]point, width, height int) image.Image {
	side := float64(min(width, height))
	slant, turn, pen := .3*(r.Float64()-.5), .25*(r.Float64()-.5), side*(.025+.015*r.Float64())
	sx, sy := .75+.2*r.Float64(), .75+.2*r.Float64()
	var hands [][]point
	for _, s := range strokes {
		var hand []point
		for _, p := range s {
			x, y := sx*(p.x-.5)+.04*r.NormFloat64()*.6, sy*(p.y-.5)+.04*r.NormFloat64()*.6
			x -= slant * y
			x, y = x*math.Cos(turn)-y*math.Sin(turn), x*math.Sin(turn)+y*math.Cos(turn)
			hand = append(hand, point{float64(width)/2 + side*x, float64(height)/2 + side*y})
		}
		hands = append(hands, hand)
	}
	img := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			near := math.Inf(1)
			for _, s := range hands {
				for i := 1; i < len(s); i++ {
					near = min(near, distance(point{float64(x), float64(y)}, s[i-1], s[i]))
				}
			}
			ink := max(0, min(1, pen-near+.5))
			img.SetGray(x, y, color.Gray{uint8(255 - 225*ink)})
		}
	}
	return img
}

func distance(p, a, b point) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	t := max(0, min(1, ((p.x-a.x)*dx+(p.y-a.y)*dy)/(dx*dx+dy*dy)))
	return math.Hypot(p.x-a.x-t*dx, p.y-a.y-t*dy)
}

func write(path string, img image.Image) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if filepath.Ext(path) == ".jpg" {
		return jpeg.Encode(f, img, &jpeg.Options{Quality: 80})
	}
	return png.Encode(f, img)
}
