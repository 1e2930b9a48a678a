package main

import "math"

// operations counts the additions and multiplications of a network's forward pass: of its first layer, whose input needs no
// gradient, and of the other layers. Only convolutions and linear maps count.
type operations struct{ first, others float64 }

// convolution counts a convolution of images with square output maps of a side.
func convolution(images, side, in, out, kernel float64) float64 {
	return linear(images*side*side, in*kernel*kernel, out)
}

func linear(rows, in, out float64) float64 { return 2 * rows * in * out }

// trained counts the forward pass and the backward pass, which is twice as much: gradients of the weights and of the input.
func trained(o operations) float64 { return 2*o.first + 3*o.others }

func evaluated(o operations) float64 { return o.first + o.others }

// sided counts Conv-4 on images of one channel with output maps of these sides.
func sided(images float64, sides ...float64) operations { return coloured(images, 1, sides...) }

// coloured counts Conv-4 on images of some channels.
func coloured(images, channels float64, sides ...float64) operations {
	o := operations{first: convolution(images, sides[0], channels, width, 3)}
	for _, side := range sides[1:] {
		o.others += convolution(images, side, width, width, 3)
	}
	return o
}

// resnet12 counts ResNet-12 on colour images of a side. The shortcut of the first block needs no gradient of its input either.
func resnet12(images, side float64) (o operations) {
	in := 3.
	for i, out := range []float64{64, 160, 320, 640} {
		first := convolution(images, side, in, out, 3) + convolution(images, side, in, out, 1)
		if i == 0 {
			o.first = first
		} else {
			o.others += first
		}
		o.others += 2 * convolution(images, side, out, out, 3)
		in, side = out, math.Floor(side/2)
	}
	return o
}

// resnet18 counts ResNet-18 on colour images of 224×224.
func resnet18(images float64) (o operations) {
	o.first = convolution(images, 112, 3, 64, 7)
	in, side := 64., 56.
	for i, out := range []float64{64, 128, 256, 512} {
		if i > 0 {
			side /= 2
			o.others += convolution(images, side, in, out, 1)
		}
		o.others += convolution(images, side, in, out, 3) + 3*convolution(images, side, out, out, 3)
		in = out
	}
	return o
}

func conv4(images float64) operations { return sided(images, 28, 14, 7, 3) }

func matchingOperations(way, shot, query float64) float64 {
	o := conv4(way * (shot + query))
	gates := func(rows, in float64) float64 { return linear(rows, in+width, 4*width) }
	o.others += 2*gates(way*shot, width) + 5*gates(way*query, 2*width) // two directions; five reads
	return trained(o)
}

// relationOperations counts the relation's first convolution once per map, not per pair.
func relationOperations(way, shot, query float64) float64 {
	o := sided(way*(shot+query), 26, 11, 5, 5)
	o.others += convolution(way*(1+query), 5, width, width, 3) + convolution(way*way*query, 2, width, width, 3)
	return trained(o)
}

func kochOperations(pairs float64) float64 {
	n := 2 * pairs
	return trained(operations{
		first: convolution(n, 96, 1, 64, 10),
		others: convolution(n, 42, 64, 128, 7) + convolution(n, 18, 128, 128, 4) + convolution(n, 6, 128, 256, 4) +
			linear(n, 256*6*6, 4096),
	})
}

// metaOperations counts an inner step and the loss after it. The second-order gradient passes through the inner step: two more
// products for each of its two backward products, and one more backward pass through its forward pass.
func metaOperations(first bool, tasks float64) float64 {
	o := sided(5*tasks, 14, 7, 4, 2)
	if first {
		return 2 * trained(o)
	}
	return 2*trained(o) + 2*o.first + 6*o.others
}

// reptileOperations counts the inner steps and the evaluation of the queries.
func reptileOperations(tasks float64) float64 {
	return 5*trained(sided(10*tasks, 14, 7, 4, 2)) + evaluated(sided(5*tasks, 14, 7, 4, 2))
}
