package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// others returns results/others.md: the runs that no other page has, which reproduce nothing that was published. It is nil where
// there are none.
func others(runs []Run, pages []*table.Page) *table.Page {
	pages = slices.Clone(pages)
	t := &table.Table{
		Name: "others",
		Columns: slices.Concat(table.Labels("experiment"), table.Proses("what it is", "tested on"), table.Numbers("figure"),
			table.Labels("unit", "seeds"), table.Proses("measured under")),
	}
	type group struct {
		name, test string
		protocol   Protocol
	}
	// The table of differences has every pair of runs that there is, and no figures.
	isDifferences := func(part table.Part) bool {
		t, ok := part.(*table.Table)
		return ok && t.Name == differencesTable
	}
	for i, p := range pages {
		pages[i] = &table.Page{Parts: slices.DeleteFunc(slices.Clone(p.Parts), isDifferences)}
	}
	var order []group
	of := map[group][]Run{}
	figures := map[group][]Figure{}
	for _, r := range runs {
		if slices.ContainsFunc(pages, func(p *table.Page) bool { return p.LinksTo(func(to string) bool { return to == r.Path }) }) {
			continue
		}
		for _, f := range r.Figures {
			g := group{r.Name, f.Name + ", " + f.Metric, f.Protocol}
			if of[g] == nil {
				order = append(order, g)
			}
			of[g], figures[g] = append(of[g], r), append(figures[g], f)
		}
	}
	if order == nil {
		return nil
	}
	for _, g := range order {
		first := figures[g][0]
		value, half := first.Value, first.Interval
		seeds := make([]string, len(of[g]))
		values := make([]float64, len(of[g]))
		for i, f := range figures[g] {
			seeds[i], values[i] = fmt.Sprint(of[g][i].Seed), f.Value
		}
		if len(values) > 1 {
			value, half = MeanInterval(values)
		}
		var protocol []string
		for i, v := range g.protocol.Values() {
			if v != "" {
				protocol = append(protocol, strings.ReplaceAll(ProtocolKeys()[i], "_", " ")+" "+v)
			}
		}
		r := of[g][0]
		t.Add(table.Text{table.Linked(r.Name, r.Path)}, table.Say(r.About), table.Say(g.protocol.Dataset+" "+g.test), ours(2, value, half),
			table.Say(first.Unit()), table.Say(strings.Join(seeds, ", ")), table.Say(strings.Join(protocol, ", ")))
	}
	p := &table.Page{Name: "others", Title: "Other experiments"}
	p.Add(table.Say("Runs below results/runs that reproduce no published figure. ± is half of the 95 % interval of the mean: over the test examples\n" +
		"of one seed, and over seeds where there are several."))
	p.Add(t)
	return p
}
