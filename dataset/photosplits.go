package dataset

import (
	"slices"
	"strings"
)

// The splits of the published data sets of photographs, by the names of their classes. CIFAR-FS: Bertinetto et al. 2019, appendix,
// the lists of the authors' code. FC100: Oreshkin et al. 2018, supplement, by super-classes of CIFAR-100. miniImageNet: the lists
// of Ravi and Larochelle 2017, in WordNet's numbers (the split of Vinyals et al. 2016 is another one).

// The classes of CIFAR-FS.
const cifarFSTrain = `
apple aquarium_fish bear bee bottle bowl boy bridge bus can castle caterpillar chair clock cloud cockroach
couch cup dinosaur dolphin elephant forest girl hamster house kangaroo keyboard lawn_mower lion lizard lobster
mountain mouse mushroom oak_tree orange orchid palm_tree pear pine_tree plate porcupine possum rabbit raccoon
ray road seal shrew skunk skyscraper snake spider squirrel streetcar sunflower tank tiger train trout tulip
turtle willow_tree wolf`

const cifarFSVal = `
beaver beetle butterfly camel cattle crab crocodile flatfish lamp maple_tree motorcycle otter sea shark
television tractor`

const cifarFSTest = `
baby bed bicycle chimpanzee fox leopard man pickup_truck plain poppy rocket rose snail sweet_pepper table
telephone wardrobe whale woman worm`

// The classes of miniImageNet.
const miniImageNetTrain = `
n01532829 n01558993 n01704323 n01749939 n01770081 n01843383 n01910747 n02074367 n02089867 n02091831 n02101006
n02105505 n02108089 n02108551 n02108915 n02111277 n02113712 n02120079 n02165456 n02457408 n02606052 n02687172
n02747177 n02795169 n02823428 n02966193 n03017168 n03047690 n03062245 n03207743 n03220513 n03337140 n03347037
n03400231 n03476684 n03527444 n03676483 n03838899 n03854065 n03888605 n03908618 n03924679 n03998194 n04067472
n04243546 n04251144 n04258138 n04275548 n04296562 n04389033 n04435653 n04443257 n04509417 n04515003 n04596742
n04604644 n04612504 n06794110 n07584110 n07697537 n07747607 n09246464 n13054560 n13133613`

const miniImageNetVal = `
n01855672 n02091244 n02114548 n02138441 n02174001 n02950826 n02971356 n02981792 n03075370 n03417042 n03535780
n03584254 n03770439 n03773504 n03980874 n09256479`

const miniImageNetTest = `
n01930112 n01981276 n02099601 n02110063 n02110341 n02116738 n02129165 n02219486 n02443484 n02871525 n03127925
n03146219 n03272010 n03544143 n03775546 n04146614 n04149813 n04418357 n04522168 n07613480`

// superclasses are those of CIFAR-100 (Krizhevsky 2009) in the order of its coarse labels, each with its classes.
const superclasses = `
aquatic_mammals: beaver dolphin otter seal whale
fish: aquarium_fish flatfish ray shark trout
flowers: orchid poppy rose sunflower tulip
food_containers: bottle bowl can cup plate
fruit_and_vegetables: apple mushroom orange pear sweet_pepper
household_electrical_devices: clock keyboard lamp telephone television
household_furniture: bed chair couch table wardrobe
insects: bee beetle butterfly caterpillar cockroach
large_carnivores: bear leopard lion tiger wolf
large_man-made_outdoor_things: bridge castle house road skyscraper
large_natural_outdoor_scenes: cloud forest mountain plain sea
large_omnivores_and_herbivores: camel cattle chimpanzee elephant kangaroo
medium_mammals: fox porcupine possum raccoon skunk
non-insect_invertebrates: crab lobster snail spider worm
people: baby boy girl man woman
reptiles: crocodile dinosaur lizard snake turtle
small_mammals: hamster mouse rabbit shrew squirrel
trees: maple_tree oak_tree palm_tree pine_tree willow_tree
vehicles_1: bicycle bus motorcycle pickup_truck train
vehicles_2: lawn_mower rocket streetcar tank tractor`

// cifar100Classes are the classes of CIFAR-100 in the order of its fine labels, which is that of the alphabet.
func cifar100Classes() []string {
	var names []string
	for _, line := range strings.Split(strings.TrimSpace(superclasses), "\n") {
		_, classes, _ := strings.Cut(line, ": ")
		names = append(names, strings.Fields(classes)...)
	}
	slices.Sort(names)
	return names
}

// fc100Split shares out the super-classes of CIFAR-100: 12, 4 and 4 of them.
func fc100Split() Split {
	s := Split{Name: NameFC100}
	for coarse, line := range strings.Split(strings.TrimSpace(superclasses), "\n") {
		part := &s.Train
		switch coarse {
		case 8, 11, 13, 16:
			part = &s.Val
		case 0, 7, 12, 14:
			part = &s.Test
		}
		_, classes, _ := strings.Cut(line, ": ")
		*part = append(*part, strings.Fields(classes)...)
	}
	slices.Sort(s.Train)
	slices.Sort(s.Val)
	slices.Sort(s.Test)
	return s
}

func cifarFSSplit() Split {
	return Split{NameCIFARFS, strings.Fields(cifarFSTrain), strings.Fields(cifarFSVal), strings.Fields(cifarFSTest)}
}

func miniImageNetSplit() Split {
	return Split{NameMiniImageNet, strings.Fields(miniImageNetTrain), strings.Fields(miniImageNetVal), strings.Fields(miniImageNetTest)}
}
