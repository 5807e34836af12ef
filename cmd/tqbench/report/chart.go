package report

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

const (
	chartWidth  = 22 * vg.Centimeter
	barHeight   = vg.Length(9)
	chartMargin = 60
)

// nbsp widens labels: who shows the chart may have wider letters than the
// metrics that it is laid out by, and SVG drops other space.
const nbsp = "\u00a0"

// errNothing is a chart without bars.
var errNothing = errors.New("nothing to draw")

// bar is a line of a chart.
type bar struct {
	label  string
	ours   bool
	spread result.Spread
	base   string
}

// Chart draws the ratios of a metric in all scenarios that have it as an SVG:
// a bar for the median, a line for the spread.
func Chart(w io.Writer, r result.Report, m result.Metric, title string) error {
	var bars []bar
	for _, s := range r.Scenarios {
		if !slices.Contains(s.Metrics, m) {
			continue
		}
		base, _ := s.Entry(s.Baseline)
		for _, e := range s.Entries {
			if ratio := e.Ratio(base, m); ratio.N > 0 {
				bars = append(bars, bar{s.ID + "  " + e.Contestant, e.Contestant == "tqserver" || e.Contestant == "nginx-tqserver", ratio, s.Baseline})
			}
		}
	}
	if len(bars) == 0 {
		return errNothing
	}
	slices.Reverse(bars) // a chart begins at its bottom
	p := plot.New()
	p.Title.Text, p.Title.Padding = title, 6
	p.X.Min = 0
	p.X.Tick.Marker = plot.TickerFunc(halves)
	p.X.Label.Text = "1 is the baseline of the scenario"
	labels := make([]string, len(bars))
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	p.Add(grid)
	for i, b := range bars {
		labels[i] = strings.Repeat(nbsp, 10) + strings.ReplaceAll(b.label, " ", nbsp) + strings.Repeat(nbsp, 10)
		chart, err := plotter.NewBarChart(plotter.Values{b.spread.Median}, barHeight)
		if err != nil {
			return fmt.Errorf("drawing %s: %w", b.label, err)
		}
		chart.Horizontal, chart.XMin = true, float64(i)
		chart.LineStyle.Width = 0
		chart.Color = color.RGBA{R: 0xa8, G: 0xb4, B: 0xc0, A: 0xff}
		if b.ours {
			chart.Color = color.RGBA{R: 0x2c, G: 0x7f, B: 0xb8, A: 0xff}
		}
		whisker, err := plotter.NewLine(plotter.XYs{{X: b.spread.Least, Y: float64(i)}, {X: b.spread.Most, Y: float64(i)}})
		if err != nil {
			return fmt.Errorf("drawing %s: %w", b.label, err)
		}
		p.Add(chart, whisker)
	}
	one, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(len(bars)) - 0.5}})
	if err != nil {
		return fmt.Errorf("drawing the baseline: %w", err)
	}
	one.Dashes = []vg.Length{3, 3}
	p.Add(one)
	p.NominalY(labels...)
	p.Y.Tick.Label.Font.Size = 9
	height := barHeight*vg.Length(len(bars))*1.6 + chartMargin
	canvas := vgsvg.New(chartWidth, height)
	dc := draw.New(canvas)
	dc.SetColor(color.White)
	p.BackgroundColor = color.White
	p.Draw(dc)
	if _, err := canvas.WriteTo(w); err != nil {
		return fmt.Errorf("writing the chart: %w", err)
	}
	return nil
}

// halves are marks at every half.
func halves(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for v := least; v <= most+0.01; v += 0.5 {
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', 1, 64)})
	}
	return ticks
}
